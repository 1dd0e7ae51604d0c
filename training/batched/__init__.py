"""Random changes to whole batches of hands at once, where the network is: what a GPU needs to be kept busy.

`windows` hold the pictures, `geometry` draws where crops lie, `covering` puts things in front and behind, `light` does
what cameras do; `hands` makes a batch of it. Every random number is drawn (`draw`) from the generator that is passed
in.
"""
