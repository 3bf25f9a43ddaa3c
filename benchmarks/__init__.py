"""What pooled_db costs and withstands, beside its peers, on real servers."""
