"""Hashers: estimators that turn features into codes."""

from sklhash.hashers.base import BaseHasher
from sklhash.hashers.cibhash import CIBHash
from sklhash.hashers.cnnh import CNNH
from sklhash.hashers.deep import DeepHasher
from sklhash.hashers.dpsh import DPSH
from sklhash.hashers.dsdh import DSDH
from sklhash.hashers.dsrh import DSRH
from sklhash.hashers.hashnet import HashNet
from sklhash.hashers.itq import ITQ
from sklhash.hashers.ksh import KSH
from sklhash.hashers.loss import HashLoss
from sklhash.hashers.lsh import LSH
from sklhash.hashers.ninh import NINH
from sklhash.hashers.nsh import NSH
from sklhash.hashers.orthohash import OrthoHash
from sklhash.hashers.pcah import PCAH
from sklhash.hashers.sdh import SDH
from sklhash.hashers.spectral import SpectralHashing

__all__ = [
    "CNNH",
    "DPSH",
    "DSDH",
    "DSRH",
    "ITQ",
    "KSH",
    "LSH",
    "NINH",
    "NSH",
    "PCAH",
    "SDH",
    "BaseHasher",
    "CIBHash",
    "DeepHasher",
    "HashLoss",
    "HashNet",
    "OrthoHash",
    "SpectralHashing",
]
