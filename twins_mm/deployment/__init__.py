"""Trained models in ONNX: exported, checked against PyTorch, and timed."""
