"""Overload past what one machine can produce: the gate under a clock of its own."""
