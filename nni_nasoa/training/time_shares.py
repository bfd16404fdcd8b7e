"""How a fine-tuning run shares out its time.

What its trainer does by these numbers, the advisor's time model foretells. Without torch, so that a forecast
need not load it.
"""

from __future__ import annotations

# Shares of the budget, before anything is computed: decoding images of a folder may take the first, and the
# second, too, where next to nothing was decoded in the first.
CACHE_SHARE, SAMPLE_SHARE = 0.35, 0.15
# A run of the head alone sees each image once or twice: it has them decoded for as long as what follows is in
# time. That is so many forward passes over those that are there, and the rest: making the network, fitting
# the head, saving. It has the smaller share of the budget, or so many seconds, up to the larger share. About
# the last share is left for decoding then.
HEAD_PASSES, LEAST_HEAD_REST, HEAD_REST_SHARES = 1.1, 3.0, (0.1, 0.35)
HEAD_CACHE_SHARE = 0.6

# Shares of the time that is left for a first pass over the images: one that only times, one that all start
# from, one that the head stays with. A pass takes two chunks at least, and doubles them up to the largest.
TIMING_SHARE, FIRST_PASS_SHARE, HEAD_PASS_SHARE = 0.02, 0.1, 0.75
FIT_SHARE = 0.15  # Of the time that is left, fitting a head to the features of these images, at most.
# A run of the head alone takes a second view of each image where so many times what the first took is left.
TIME_FOR_MIRRORED = 1.3
LEAST_FIT_SECONDS = 0.3  # What a fit takes at least: what it needs is loaded, and first steps are taken.
TIME_FOR_FIT = 2.0  # A head is fitted again where so many times what the first fit took is left.
# Before stages are trained, the first pass sees all images where that takes no more than this share.
WHOLE_PASS_SHARE = 0.35
FIRST_CHUNK, MAX_CHUNK, MIN_CHUNKS = 4, 256, 2  # images; the first chunk finds kernels and fills caches

# Training that is not worth more than a head: fewer steps than these, and than one pass, each by what a
# forward pass takes.
MIN_STEPS = 8
STEP_FACTOR = 3.2  # a training step over a forward pass: forward, backward twice that, the rest

# Shares of the time that is left for an evaluation, and for one whose features are kept from then on. It is
# on so many images at least.
VALIDATION_SHARE, HEAD_VALIDATION_SHARE, LEAST_VALIDATION = 0.05, 0.5, 16

# Training: steps between two looks at the clock, and evaluations in the window, besides the last.
CHUNK_SECONDS = 0.1
EVALUATION_SHARE, MAX_EVALUATIONS = 0.1, 20
HEAD_STEP_SECONDS = 0.005  # A step of the head, on features that are kept.
RENEWAL_SHARE = 0.25  # The part of the training time for new views of images that have one.
# The part of what is left of the window, up to which features of one more batch are computed.
LAST_FEATURES_SHARE = 0.5

# Kept back for the end: a margin for what nobody could foresee, saving, and an evaluation, each somewhat
# longer than usual. The margin is a share of the budget, between two bounds in seconds.
MARGIN_SHARE, MIN_MARGIN, MAX_MARGIN = 0.02, 0.1, 1.0
SAVING_SECONDS = 0.03  # what saving takes beside the time to write the weights
SAVING_RESERVE, EVALUATION_RESERVE = 1.5, 1.25  # factors on what each usually takes
