"""The paper's figures (NASOA, ICCV 2021, arXiv 2108.03434), drawn from runs that this project made.

`block_drawing` is figure 8, `search_front` figure 9. matplotlib is imported where something is drawn, always with the Agg
canvas, so that no display is needed and no global state of pyplot is touched.
"""
