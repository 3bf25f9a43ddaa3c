"""What a request holds, who is let in, and what the refused are told."""
