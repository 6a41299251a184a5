"""Sets of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ancestral.train.datasets import Array, DataSet, Split, named
from ancestral.train.recipe import Recipe


@named("mnist")
def mnist(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """The digits, of 256 levels; the last 5,000 training images are for validation."""
    labelled = bool(recipe.conditions)

    def split(images: Array, digits: Array) -> Split:
        labels = (digits.astype(np.int64),) if labelled else ()
        return Split(images[:, None], labels)

    x, y = arrays["x_train"], arrays["y_train"]
    return DataSet(
        split(x[:-5000], y[:-5000]),
        split(x[-5000:], y[-5000:]),
        split(arrays["x_test"], arrays["y_test"]),
        "MNIST",
    )


@named("binarized-mnist")
def binarized_mnist(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Larochelle's fixed binarisation, in its own splits."""

    def split(name: str) -> Split:
        bits = np.unpackbits(arrays[name], axis=1)[:, :784]
        return Split(bits.reshape(-1, 1, 28, 28))

    return DataSet(split("train"), split("valid"), split("test"), "binarised MNIST (Larochelle)")


@named("digits8")
def digits8(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """8×8 digits of 17 levels; of every ten images one validates and two test."""
    images, place = arrays["x"][:, None], np.arange(len(arrays["x"])) % 10
    digits = arrays["y"].astype(np.int64)
    labelled = any(condition.name == "digit" for condition in recipe.conditions)

    def split(chosen: Array) -> Split:
        return Split(images[chosen], (digits[chosen],) if labelled else ())

    return DataSet(
        split(place > 2), split(place == 0), split((place == 1) | (place == 2)), "digits (8×8)"
    )


@named("cifar10-4000")
def cifar10(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """The first 4,000 training images in RGB, as means of blocks where the recipe's are smaller.

    Of every ten images one validates and one tests.
    """
    side = recipe.data.shape[1]
    images, block = arrays["x"].transpose(0, 3, 1, 2), 32 // side
    means = images.reshape(-1, 3, side, block, side, block).mean(axis=(3, 5))
    pixels, place = np.rint(means).astype(np.uint8), np.arange(len(images)) % 10
    labels = arrays["y"].astype(np.int64)

    def split(chosen: Array) -> Split:
        return Split(pixels[chosen], (labels[chosen],) if recipe.conditions else ())

    return DataSet(
        split(place > 1),
        split(place == 0),
        split(place == 1),
        f"CIFAR-10, 4,000 images at {side}×{side}",
    )


@named("circuit-boards")
def circuit_boards(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Defect-free patches of DeepPCB; every twentieth training patch validates."""

    def patches(name: str) -> Array:
        bits = np.unpackbits(arrays[name], axis=1)[:, :1024]
        return bits.reshape(-1, 1, 32, 32)

    normal = patches("train_normal")
    validates = np.arange(len(normal)) % 20 == 0
    return DataSet(
        Split(normal[~validates]),
        Split(normal[validates]),
        Split(patches("holdin_normal")),
        "DeepPCB, defect-free patches",
    )


@named("fashion-mnist")
def fashion_mnist(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """Pictures of clothes, 28×28 of 256 levels, laid out as MNIST."""
    return replace(mnist(recipe, arrays), description="Fashion-MNIST")


@named("normal-chests")
def normal_chests(recipe: Recipe, arrays: dict[str, Array]) -> DataSet:
    """PneumoniaMNIST's X-rays without a finding; every twentieth of the training set validates."""

    def normal(name: str) -> Array:
        pictures: Array = arrays[f"{name}_images"]
        chosen: Array = pictures[arrays[f"{name}_labels"].reshape(-1) == 0]
        return chosen[:, None]

    train = normal("train")
    validates = np.arange(len(train)) % 20 == 0
    return DataSet(
        Split(train[~validates]),
        Split(train[validates]),
        Split(normal("val")),
        "PneumoniaMNIST, normal chests",
    )
