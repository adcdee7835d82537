"""One suite for each port. Use them like this, in any pytest module:

from fairway.testing.contracts import JournalContract

class TestMyJournal(JournalContract):
    @pytest.fixture
    def journal(self): ...
"""

from fairway.testing.contracts.artifacts import ArtifactStoreContract
from fairway.testing.contracts.executor import ExecutorContract
from fairway.testing.contracts.journal import JournalContract
from fairway.testing.contracts.streams import StreamStoreContract

__all__ = ["ArtifactStoreContract", "ExecutorContract", "JournalContract", "StreamStoreContract"]
