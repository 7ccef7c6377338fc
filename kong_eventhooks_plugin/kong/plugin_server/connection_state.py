"""The states of a connection, and what a peer's bytes are in each.

==============  ==========================================  ==================================  ========================
state           begins                                      the peer's bytes                    next
==============  ==========================================  ==================================  ========================
``READY``       at the start, and after each answer         the next call                       any
``ASKING``      when a phase asks Kong for a PDK function   its answer                          any
``COMMITTING``  when a call has caused what takes a while   kept: the call is answered first    ``READY``, ``ENDED``
``ENDED``       when either side ends the connection        dropped                             none
==============  ==========================================  ==================================  ========================
"""

from enum import Enum


class State(Enum):
    READY = "ready"
    ASKING = "asking"
    COMMITTING = "committing"
    ENDED = "ended"


# Read for each call: a global name costs half of what a member of the class does.
READY = State.READY
ASKING = State.ASKING
COMMITTING = State.COMMITTING
ENDED = State.ENDED
