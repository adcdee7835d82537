"""The same by a small PyTorch network, trained by two processes side by side.

    fairway run network.py                        the 280 texts that the example carries
    fairway run network.py --path emoji/          a folder of texts and labels

Words become vectors, a recurrent layer reads them both ways, attention weighs what it read.
"""

import re
import zlib

import numpy as np
import pandas as pd
from texts import carried, given, judged

import fairway as fw

WORDS, LENGTH = 20_000, 32


def numbered(texts: pd.Series) -> np.ndarray:
    """Each text as the numbers of its first words; 0 where there is none. A number is a word's hash, which some share."""
    made = np.zeros((len(texts), LENGTH), np.int64)
    for row, text in enumerate(texts):
        words = re.findall(r"#?\w+|[^\w\s]", text.lower())[:LENGTH]
        made[row, : len(words)] = [zlib.crc32(word.encode()) % (WORDS - 1) + 1 for word in words]
    return made


def network(emojis: int, width: int):
    """Embedding, a GRU in both directions, attention over its states."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(WORDS, width, padding_idx=0)
            self.read = torch.nn.GRU(width, width, batch_first=True, bidirectional=True)
            self.weigh = torch.nn.Linear(2 * width, 1)
            self.drop = torch.nn.Dropout(0.4)
            self.choose = torch.nn.Linear(3 * width, emojis)

        def forward(self, words):
            there = words > 0
            vectors = self.drop(self.words(words))
            states, _ = self.read(vectors)
            weights = self.weigh(states).squeeze(-1).masked_fill(~there, -1e9).softmax(dim=1).unsqueeze(1)
            mean = vectors.sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)
            return self.choose(self.drop(torch.cat([(weights @ states).squeeze(1), mean], dim=1)))

    return Network()


@fw.step(gang=fw.gang(replicas=2, framework="torch", restarts=2))
def fit(path: fw.Directory | None, epochs: int, width: int, batch: int) -> dict:
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
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    data = fw.shard((numbered(train["text"]), answers.astype(np.int64)), batch=batch, epochs=epochs)
    state = fw.checkpoint.load(default=None)
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        data.resume(state["data"])
    words, figures = torch.from_numpy(numbered(valid["text"])), state["figures"] if state else {}
    for epoch, batches in data.by_epoch():
        net.train()
        losses = []
        for texts, labels in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(shared(torch.as_tensor(texts)), torch.as_tensor(labels))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        net.eval()
        with torch.inference_mode():
            scores = torch.cat([net(part).softmax(dim=1) for part in words.split(1_000)]).numpy()
        figures = judged(valid["emoji"].to_numpy(), scores, emojis)
        fw.log(step=epoch, loss=float(np.mean(losses)), **figures)
        fw.checkpoint.save(epoch, {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "data": data, "figures": figures})
    dist.destroy_process_group()
    return {**figures, "ranks": fw.context().world_size}


@fw.pipeline
def emoji_network(path: fw.Directory | None = None, epochs: int = 3, width: int = 64, batch: int = 64):
    """Train a small network on two ranks; report how good it is on texts held out.

    Args:
        path: a folder with texts and labels; without it the few that the example carries
        epochs: how often every text is seen
        width: numbers for each word
        batch: texts for each rank at a time
    """
    return fit(path, epochs, width, batch)
