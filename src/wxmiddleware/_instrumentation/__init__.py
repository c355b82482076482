"""What `wxmiddleware.prometheus` and `wxmiddleware.otel` share: one table of metrics, and what is written into them."""
