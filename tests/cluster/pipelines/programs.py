"""Programs in images that know nothing of Python or Fairway."""

import os

import fairway as fw

IMAGE = os.environ.get("FAIRWAY_TEST_BARE_IMAGE") or os.environ.get("FAIRWAY_TEST_IMAGE", "known-where-the-run-is-started")
STATIC = os.environ.get("FAIRWAY_TEST_STATIC_IMAGE", "known-where-the-run-is-started")
NO_PYTHON = fw.env(variables={"PATH": "/nothing/here"})  # what is left is the shell and what it can do by itself


@fw.step(cpu=0.05)
def write(words: str) -> fw.File:
    with open("words.txt", "w") as file:
        file.write(words)
    return fw.File("words.txt")


greet = fw.container(
    IMAGE,
    ["/bin/sh", "-c", 'read line < "$1"; echo "greeting $line"; echo "hello $line" > "$2"', "greet", fw.In("words"), fw.Out("greeting")],
    name="greet",
    env=NO_PYTHON,
    cpu=0.05,
)
stop = fw.container(IMAGE, ["/bin/sh", "-c", 'echo "cannot go on"; exit 7'], name="stop", env=NO_PYTHON, cpu=0.05)


@fw.step(cpu=0.05)
def read(file: fw.File) -> str:
    return file.read_text().strip()


@fw.pipeline
def greeting(words: str = "world\n"):
    return read(greet(write(words)).greeting)


@fw.pipeline
def stopping():
    stop()


@fw.pipeline
def copying(words: str = "static\n"):
    copy = fw.container(STATIC, ["/prog", fw.In("words"), fw.Out("copy")], name="copy", cpu=0.05)
    return read(copy(write(words)).copy)
