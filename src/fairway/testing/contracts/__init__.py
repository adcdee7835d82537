"""One suite for each port. Use them like this, in any pytest module:

from fairway.testing.contracts import JournalContract

class TestMyJournal(JournalContract):
    @pytest.fixture
    def journal(self): ...

Each store has a `…ReaderContract` too: the part that holds for those who only read, and see what others write.
"""

from fairway.testing.contracts.artifacts import ArtifactReaderContract, ArtifactStoreContract
from fairway.testing.contracts.endpoints import EndpointStoreContract
from fairway.testing.contracts.executor import ExecutorContract
from fairway.testing.contracts.journal import JournalContract, JournalReaderContract
from fairway.testing.contracts.streams import StreamReaderContract, StreamStoreContract

__all__ = [
    "ArtifactReaderContract",
    "ArtifactStoreContract",
    "EndpointStoreContract",
    "ExecutorContract",
    "JournalContract",
    "JournalReaderContract",
    "StreamReaderContract",
    "StreamStoreContract",
]
