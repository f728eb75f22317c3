"""LP-A3 for one image and a model so small that its gradients are written out by hand: no autograd.

The model sees C = 2 pixels x, φ(x) = x / ‖x‖ and logits W x; so LPIPS is the chord between two directions.
"""

from __future__ import annotations

import numpy as np


def log_probability(x: np.ndarray, weights: np.ndarray, target: np.ndarray) -> float:
    logits = weights @ x
    top = logits.max()
    return float(target @ (logits - top - np.log(np.exp(logits - top).sum())))


def log_probability_gradient(x: np.ndarray, weights: np.ndarray, target: np.ndarray) -> np.ndarray:
    """W^T (t − p)."""
    logits = weights @ x
    p = np.exp(logits - logits.max())
    return weights.T @ (target - p / p.sum())


def chord(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))


def chord_gradient(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """d ‖u − v‖ / dx, u = x / ‖x‖:  (I − u uᵀ) (u − v) / (‖u − v‖ ‖x‖)."""
    size = np.linalg.norm(x)
    u, v = x / size, other / np.linalg.norm(other)
    return (np.eye(len(x)) - np.outer(u, u)) @ (u - v) / (np.linalg.norm(u - v) * size)


class Attack:
    """One image on its way; points that kept the margin are noted with their distances."""

    def __init__(self, x, weights, target, settings: dict) -> None:
        self.x, self.weights, self.target, self.s = x, weights, target, settings
        self.clean = log_probability(x, weights, target)
        self.best, self.far = x, 0.0

    def within(self, delta):
        return np.clip(self.x + delta, self.s["low"], self.s["high"]) - self.x

    def look(self, delta) -> float:
        """The drop at x + δ."""
        drop = self.clean - log_probability(self.x + delta, self.weights, self.target)
        gone = chord(self.x + delta, self.x)
        if drop <= self.s["margin"] and gone > self.far:
            self.best, self.far = self.x + delta, gone
        return drop

    def lagrangian(self, delta):
        s, T = self.s, self.s["iterations"]
        before, drop_before = np.zeros_like(delta), 0.0
        for i in range(T):
            drop = self.look(delta)
            gradient = -chord_gradient(self.x + delta, self.x)
            if drop > s["margin"]:
                weight = s["multiplier"] * s["rise"] ** (i / T - 1)
                gradient = gradient - weight * log_probability_gradient(self.x + delta, self.weights, self.target)
            down = gradient / (np.linalg.norm(gradient) + 1e-8)
            if s["slope"] == "secant":
                slope = abs(drop - drop_before) / (np.linalg.norm(delta - before) + 1e-12)
            else:
                there = log_probability(self.x + delta - 0.025 * down, self.weights, self.target)
                slope = abs(self.clean - there - drop) / 0.025
            before, drop_before = delta, drop
            length = s["step"] * s["decay"] ** (i / T) / (slope + 1e-4)
            if s["cap"] is not None:
                length = min(length, s["cap"] * len(self.x) ** 0.5)
            delta = self.within(delta - length * down)
        return delta

    def tangent(self, delta):
        s, T = self.s, self.s["iterations"]
        for i in range(T):
            drop = self.look(delta)
            steep = log_probability_gradient(self.x + delta, self.weights, self.target)
            away = chord_gradient(self.x + delta, self.x)
            n = steep / np.linalg.norm(steep)
            sideways = away - (away @ n) * n
            sideways /= np.linalg.norm(sideways) + 1e-8
            length = s["stride"] * len(self.x) ** 0.5 * s["decay"] ** (i / T)
            if s["cap"] is not None:
                length = min(length, s["cap"] * len(self.x) ** 0.5)
            back = min(max(drop, 0) / np.linalg.norm(steep), length)
            delta = self.within(delta + length * sideways + back * n)
        return delta

    def backed_off(self, delta, trials: int):
        t, kept, broke = 1.0, 0.0, np.inf
        for _ in range(trials):
            drop = self.look(self.within(t * delta))
            if drop <= self.s["margin"]:
                kept = max(kept, t)
            else:
                broke = min(broke, t)
            aimed = t * (0.9 * self.s["margin"] / max(drop, 1e-12)) ** 0.5
            if broke < np.inf:
                t = min(max(aimed, kept), 0.95 * broke)
            elif self.s["form"] == "tangent":
                t = min(max(aimed, t), 2 * t)
        return self.best if trials else self.x + delta
