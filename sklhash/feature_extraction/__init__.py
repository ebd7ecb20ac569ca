"""Features of images, texts and arrays from any torch module, and files as arrays."""

from sklhash.feature_extraction.extractor import TorchFeatureExtractor
from sklhash.feature_extraction.loader import PathLoader

__all__ = ["PathLoader", "TorchFeatureExtractor"]
