"""One training step: forward through conv1, conv2 and linear, the loss, and back again, moving the state.

A method is a module with the five rules that make it:
  weights(step, layer)                          the codes of the layer's weights
  activation(step, layer, acc)                  the codes that the next layer sees, of conv1's or conv2's accumulators
  gradients(step, layer, g)                     the codes of g for the input gradient and those for the weight gradient
  weight_gradient(step, layer, dw)              the gradient of the master weights, of that of their codes
  activation_gradient(step, layer, acc, y, dx)  the gradient g of the accumulators, of that of their codes y; moves
                                                the numbers that the activation learns
All see the state as it was before the step.
"""
from fractions import Fraction

from . import descent, loss, products
from .products import LAYERS
from .record import Quantity, Step

PIXEL = Fraction(1, 256)


def run(method, attrs, constants, state, rbits, images, labels):
    """The Step of a method on images [B,1,8,8] and their labels [B]."""
    step = Step(attrs, constants, state, rbits)
    xs, ws, accs = [Quantity(images, PIXEL)], [], []
    for layer in LAYERS:
        ws.append(method.weights(step, layer))
        accs.append(products.forward(step, layer, xs[-1], ws[-1]))
        if layer != LAYERS[-1]:
            xs.append(method.activation(step, layer, accs[-1]))
    g = loss.gradient(step, loss.logits(step, accs[-1]), labels)
    for k in reversed(range(len(LAYERS))):
        for_input, for_weight = method.gradients(step, LAYERS[k], g)
        dw = products.weight_gradient(step, LAYERS[k], xs[k], for_weight, ws[k])
        descent.weights(step, LAYERS[k], method.weight_gradient(step, LAYERS[k], dw))
        if k > 0:
            dx = products.input_gradient(step, LAYERS[k], xs[k], for_input, ws[k])
            g = method.activation_gradient(step, LAYERS[k - 1], accs[k - 1], xs[k], dx)
    return step
