"""The same by a small PyTorch network, trained by two processes side by side.

    fairway run network.py                        the 280 texts that the example carries
    fairway run network.py --path emoji/          a folder of texts and labels

Words become vectors, a recurrent layer reads them both ways, attention weighs what it read; pairs of words and parts of words become
vectors as well, whose order does not matter.
"""

import re
import zlib
from itertools import pairwise

import numpy as np
import pandas as pd
from texts import carried, given, judged

import fairway as fw

WORDS, LENGTH = 20_000, 32
PARTS, PIECES = 65_536, 160
RATE = 3e-3


def numbered(texts: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Each text as the numbers of its first words, and of their pairs and parts; 0 where there is none. Some share one."""
    made, parts = np.zeros((len(texts), LENGTH), np.int64), np.zeros((len(texts), PIECES), np.int64)
    for row, text in enumerate(texts):
        words = re.findall(r"#?\w+|[^\w\s]", text.lower())[:LENGTH]
        made[row, : len(words)] = [hashed(word, WORDS) for word in words]
        pairs = [f"{word} {after}" for word, after in pairwise(words)]
        letters = [f"<{word}>"[n : n + size] for word in words for size in (3, 4) for n in range(max(1, len(word) + 3 - size))]
        pieces = [hashed(piece, PARTS) for piece in (*pairs, *letters)][:PIECES]
        parts[row, : len(pieces)] = pieces
    return made, parts


def hashed(text: str, count: int) -> int:
    """1 to count - 1."""
    return zlib.crc32(text.encode()) % (count - 1) + 1


def network(emojis: int, width: int):
    """Embedding, a GRU in both directions, attention over its states; beside it the sum of what parts of words say."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(WORDS, width, padding_idx=0)
            self.parts = torch.nn.EmbeddingBag(PARTS, width, padding_idx=0, mode="sum")
            for table in (self.words, self.parts):  # small, so that what was hardly ever seen says little
                torch.nn.init.normal_(table.weight[1:], std=0.02)
            self.read = torch.nn.GRU(width, width, batch_first=True, bidirectional=True)
            self.weigh = torch.nn.Linear(2 * width, 1)
            self.drop = torch.nn.Dropout(0.4)
            self.choose = torch.nn.Linear(4 * width, emojis)

        def forward(self, words, parts):
            there = words > 0
            vectors = self.drop(self.words(words))
            states, _ = self.read(vectors)
            weights = self.weigh(states).squeeze(-1).masked_fill(~there, -1e9).softmax(dim=1).unsqueeze(1)
            mean = vectors.sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)
            pieces = self.parts(parts) / (parts > 0).sum(dim=1, keepdim=True).clamp(min=1).sqrt()
            return self.choose(self.drop(torch.cat([(weights @ states).squeeze(1), mean, pieces], dim=1)))

    return Network()


@fw.step(gang=fw.gang(replicas=2, framework="torch", restarts=2))
def fit(path: fw.Directory | None, epochs: int, width: int, batch: int, evenness: float) -> dict:
    """Two ranks, each with its half of every round of batches; goes on from its newest checkpoint after a crash."""
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    train, valid = given(path) if path else carried()
    emojis, answers = np.unique(train["emoji"], return_inverse=True)
    dist.init_process_group()
    torch.manual_seed(0)
    net = network(len(emojis), width)
    shared = DistributedDataParallel(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4)
    shares = np.bincount(answers) / len(answers)
    favour = torch.tensor((1 / len(shares) / shares) ** evenness, dtype=torch.float32)
    data = fw.shard((*numbered(train["text"]), answers.astype(np.int64)), batch=batch, epochs=epochs)
    state = fw.checkpoint.load(default=None)
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        data.resume(state["data"])
    judging = [torch.from_numpy(array).split(1_000) for array in numbered(valid["text"])]
    figures = state["figures"] if state else {}
    for epoch, batches in data.by_epoch():
        net.train()
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - epoch / epochs)
        losses = []
        for words, parts, labels in batches:
            optimizer.zero_grad()
            scores = shared(torch.as_tensor(words), torch.as_tensor(parts))
            loss = torch.nn.functional.cross_entropy(scores, torch.as_tensor(labels), weight=favour)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        with torch.inference_mode():
            scores = torch.cat([net(*some).softmax(dim=1) for some in zip(*judging, strict=True)])
        figures = judged(valid["emoji"].to_numpy(), scores.numpy(), emojis)
        fw.log(step=epoch, loss=float(np.mean(losses)), **figures)
        fw.checkpoint.save(epoch, {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "data": data, "figures": figures})
    dist.destroy_process_group()
    return {**figures, "ranks": fw.context().world_size}


@fw.pipeline
def emoji_network(path: fw.Directory | None = None, epochs: int = 3, width: int = 64, batch: int = 128, evenness: float = 0.35):
    """Train a small network on two ranks; report how good it is on texts held out.

    Args:
        path: a folder with texts and labels; without it the few that the example carries
        epochs: how often every text is seen
        width: numbers for each word
        batch: texts for each rank at a time
        evenness: 0 learns emojis as often as they come, 1 all alike
    """
    return fit(path, epochs, width, batch, evenness)
