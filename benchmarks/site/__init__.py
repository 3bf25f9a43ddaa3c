"""The site that is measured: one view, served on each contender's settings."""
