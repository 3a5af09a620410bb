"""The blocking versions of the asynchronous classes; _sync.pyi is generated."""

from . import _history, _pages, _tail, client
from ._transport import twin

Client = twin(client.AsyncClient)
Pages = twin(_pages.AsyncPages)
Tail = twin(_tail.AsyncTail)
LogTail = twin(_tail.AsyncLogTail)
Watch = twin(_tail.AsyncWatch)
PointIterator = twin(_tail.AsyncPointIterator)
LineIterator = twin(_tail.AsyncLineIterator)
HistoryQuery = twin(_history.AsyncHistoryQuery)
