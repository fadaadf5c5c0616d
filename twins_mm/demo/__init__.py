"""A page in the browser that shows trained models at work."""
