"""The two words that device and console both show, so that a person sees which device asks.

Not a secret and not checked by anything: it is read by people (PROTOCOL section 5 in the device's wire/README.md).
"""

import secrets

_FIRST = """
amber azure beige black blue brass bronze calm clear copper coral cream crisp dark deep dusty early faint frosty gentle
gold green grey hazel ivory jade kind late light lilac lime little loud lucky maple mild mint misty navy neat olive
opal orange pale pearl pink plain polar proud quick quiet rapid red round royal ruby rusty sandy sharp silent silver
slow small soft solar spicy steady still sunny swift tall tame tawny tidy tiny vivid warm white wild windy yellow
"""
_SECOND = """
acorn ant apple badger bear beaver bee birch bison boat bridge candle canoe cat cedar cherry cloud clover comet crane
crow daisy deer desk dove duck eagle elk falcon fern finch fox frog garden gate goose hare harbor hawk heron hill
horse island kite lake lamp leaf lemon lion lotus lynx mango meadow moon moose moth mouse otter owl panda pear pine
plum pond rabbit raven river robin rose seal shell snail spoon star stone swan table tiger tower tree trout turtle
valley violet walnut whale willow wolf wren zebra
"""
_FIRST_WORDS, _SECOND_WORDS = _FIRST.split(), _SECOND.split()


def choose() -> str:
    """Two words at random, such as: amber fox."""
    return secrets.choice(_FIRST_WORDS) + " " + secrets.choice(_SECOND_WORDS)
