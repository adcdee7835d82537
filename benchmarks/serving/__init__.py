"""Model servers side by side: the same two models behind each, one core for the server, the other for its client."""
