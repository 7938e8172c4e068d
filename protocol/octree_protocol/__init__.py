"""What the daemon and its viewers say to each other, and the words they use for it.

The ground floor of the house: the standard library and msgspec, nothing else. No sockets, no numpy, no clock.
`keys` names chunks, `geometry` places them in the world, `messages` are the frozen values on the wire, `codec` turns
them into bytes and back, `session` says which message may follow which, `slots` is the layout of a slot in shared
memory, `limits` holds every number that bounds a peer, `errors` the two roots of everything that can go wrong.
"""

#: ``major.minor``. A peer with another major is refused; a higher minor may send fields that are ignored here.
PROTOCOL_VERSION: tuple[int, int] = (1, 1)
