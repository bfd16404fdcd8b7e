"""NASOA for NNI: search a zoo of networks that train fast, fine-tune the right one in the minutes at hand.

The method is "NASOA: Towards Faster Task-oriented Online Fine-tuning with a Zoo of Models" (ICCV
2021, arXiv 2108.03434). Importing this package loads neither torch nor nni; each room imports what
it needs where it uses it.
"""

__version__ = "0.1.0"
