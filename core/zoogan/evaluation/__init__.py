"""What is measured on a trained editor, one file a metric."""
