"""
=================================
Learn codes from images, end to end
=================================

Codes are mostly learnt from features that another network has made. Where there is
none, a network of one's own goes in front: ``backbone`` takes any torch module, or a
function that makes one, and trains it together with the code.

Here a small convolutional network is compared with the same hasher on raw pixels. On
scikit-learn's handwritten digits that takes seconds. For images of your own, run
``python plot_end_to_end_images.py FILE.npz``, where the file has ``images``
(n, height, width, 3), ``y`` (n,), and the row numbers ``I_train``, ``database`` and
``query``.
"""
