"""Everything that can go wrong between the two sides: a tree with two roots.

`LocalProtocolError`: *we* were about to break the protocol, a bug of ours. `RemoteProtocolError`: *the peer* did, an
ordinary event that costs the peer its message or its session and nobody else anything.
"""


class OctreeError(Exception):
    """Anything that octree-serve reports on purpose; its text says what was wrong, where, and the cure."""


class ProtocolError(OctreeError):
    """The two sides do not agree on what is being said."""


class LocalProtocolError(ProtocolError):
    """We were about to say something that the protocol does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer said something that the protocol does not allow.

    Parameters
    ----------
    reason
        What was wrong, in one sentence.
    code
        The word for it on the wire, in `messages.Refused`.
    """

    def __init__(self, reason: str, code: str = "malformed") -> None:
        super().__init__(reason)
        self.code = code
