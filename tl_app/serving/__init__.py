"""The local server: TensorFlow Serving's REST interface, on small formats without TensorFlow."""
