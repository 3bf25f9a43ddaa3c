"""The Django site that the tests send requests to."""
