"""The network of the hedge predictor, in numpy.

It is a multilayer perceptron with a logistic head on each depth, and AdamW.
"""

from __future__ import annotations

import numpy as np

_MOMENTUM, _VARIANCE, _EPSILON = 0.9, 0.999, 1e-8  # Kingma and Ba, arXiv 1412.6980


class HedgeNetwork:
    """Rectified layers of `width` units, and a logistic head on the inputs and on each of the layers.

    A residual head adds to the logit of the head below it, so it learns what the shallower ones leave over.

    All parameters are one float32 vector, those that decay before the biases; layers and heads are views of
    it. So a step of Adam is a handful of operations, which is most of what an update of a network this small
    costs.
    """

    def __init__(
        self, inputs: int, depth: int, width: int, residual: bool, learning_rate: float, weight_decay: float
    ):
        self._sizes = [inputs, *[width] * depth]  # the number of values that each head sees
        self._residual, self._learning_rate, self._weight_decay = residual, learning_rate, weight_decay
        # The shapes of the weights: first the layers', then the heads'.
        shapes = [*zip(self._sizes, self._sizes[1:]), *((n,) for n in self._sizes)]
        weights = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        biases = weights[-1] + np.cumsum([0, *(shape[1] if len(shape) > 1 else 1 for shape in shapes)])
        self._places = [
            (slice(*weights[i : i + 2]), shape, slice(*biases[i : i + 2])) for i, shape in enumerate(shapes)
        ]
        self._decaying, count = int(weights[-1]), int(biases[-1])
        self.arrays = {
            name: np.zeros(count, dtype=np.float32) for name in ("parameters", "momentum", "variance")
        }
        self.arrays["taken"] = np.array(0, dtype=np.int64)
        """The state, changed in place: parameters, Adam's moments, and the number of steps taken."""
        self._gradient = np.zeros(count, dtype=np.float32)

    def initialize(self, rng: np.random.Generator, known_inputs: int) -> None:
        """He's initialization of the layers.

        Heads are zero, and so are the weights of all but the first inputs, which are rarely on.
        """
        layers, _ = self.views(self.arrays["parameters"])
        for depth, (weight, _) in enumerate(layers):
            used = weight[:known_inputs] if depth == 0 else weight
            used[:] = rng.normal(0, np.sqrt(2 / len(used)), used.shape)

    def predict(self, inputs: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Every head's prediction, (n, depth + 1).

        Parameters
        ----------
        inputs
            Of shape (n, inputs).
        offsets
            What is added to each head's logit, (n,).
        """
        # Of the candidates for one dataset most inputs are the same: they are multiplied once.
        varying = (inputs != inputs[:1]).any(axis=0)
        same = inputs[:1, ~varying]

        def narrow(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return weight[varying], bias + (same @ weight[~varying]).sum(0)

        layers, heads = (
            [*(narrow(*first) for first in parts[:1]), *parts[1:]]
            for parts in self.views(self.arrays["parameters"])
        )
        return self._propagate(inputs[:, varying], offsets, layers, heads)[1]

    def gradient(
        self,
        parameters: np.ndarray,
        inputs: np.ndarray,
        offsets: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """Write into `out` the gradient of the heads' weighted cross-entropies, averaged over the n rows.

        Parameters
        ----------
        parameters, out
            As the state's `parameters`; in its precision the gradient is calculated.
        inputs, offsets, y, weights
            Of shape (n, inputs), (n,), (n,) and (depth + 1,).
        """
        hidden, predictions = self._propagate(inputs, offsets, *self.views(parameters))
        (layers, heads), (layer_gradients, head_gradients) = self.views(parameters), self.views(out)
        errors = ((predictions - y[:, None]) * weights / len(y)).astype(parameters.dtype)
        if self._residual:
            errors = np.cumsum(errors[:, ::-1], axis=1)[:, ::-1]
        from_above = 0.0
        for depth in range(len(heads) - 1, -1, -1):
            np.dot(errors[:, depth], hidden[depth], out=head_gradients[depth][0])
            head_gradients[depth][1][:] = errors[:, depth].sum()
            if depth:
                back = (np.outer(errors[:, depth], heads[depth][0]) + from_above) * (hidden[depth] > 0)
                np.dot(hidden[depth - 1].T, back, out=layer_gradients[depth - 1][0])
                layer_gradients[depth - 1][1][:] = back.sum(axis=0)
                from_above = back @ layers[depth - 1][0].T if depth > 1 else 0.0

    def step(self, inputs: np.ndarray, offsets: np.ndarray, y: np.ndarray, weights: np.ndarray) -> None:
        """One step of AdamW; arguments as for `gradient`."""
        parameters, momentum, variance = (
            self.arrays[name] for name in ("parameters", "momentum", "variance")
        )
        gradient = self._gradient
        self.gradient(parameters, inputs, offsets, y, weights, gradient)
        self.arrays["taken"] += 1
        taken = int(self.arrays["taken"])
        momentum += (1 - _MOMENTUM) * (gradient - momentum)
        variance += (1 - _VARIANCE) * (gradient * gradient - variance)
        parameters[: self._decaying] *= 1 - self._learning_rate * self._weight_decay
        scale = np.sqrt(variance / (1 - _VARIANCE**taken)) + _EPSILON
        parameters -= self._learning_rate / (1 - _MOMENTUM**taken) * momentum / scale

    def _propagate(
        self, inputs: np.ndarray, offsets: np.ndarray, layers: list, heads: list
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """What each head sees, and what it predicts."""
        hidden = [inputs]
        for weight, bias in layers:
            layer = hidden[-1] @ weight
            layer += bias
            hidden.append(np.maximum(layer, 0, out=layer))
        logits = np.stack([seen @ weight + bias for seen, (weight, bias) in zip(hidden, heads)], axis=1)
        if self._residual:
            np.cumsum(logits, axis=1, out=logits)
        logits += offsets[:, None]
        return hidden, 0.5 + 0.5 * np.tanh(0.5 * logits)  # the logistic function, without overflow

    def views(self, vector: np.ndarray) -> tuple[list, list]:
        """Layers and heads, each a pair of weight and bias, as views of a vector like `parameters`."""
        views = [(vector[weight].reshape(shape), vector[bias]) for weight, shape, bias in self._places]
        return views[: len(self._sizes) - 1], views[len(self._sizes) - 1 :]
