"""A ticket sale under overload: the site, and what compares it on two backends."""
