"""A sheet of labels to print from a browser: what people call the device, its id as text and as QR code, its key's fingerprint.

No secret is on a label: none of the three lets anybody in.
"""

import html
from collections.abc import Sequence
from pathlib import Path

from boards.enrolment import Enrolment
from boards.serial_board import BoardError

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>Latchpin: labels</title>
<style>
  @page { margin: 8mm }
  body { font: 9pt sans-serif; display: grid; grid-template-columns: repeat(auto-fill, 62mm); gap: 3mm }
  article { border: 0.2mm dashed #999; height: 29mm; padding: 1mm; display: flex; align-items: center; break-inside: avoid }
  svg { width: 26mm; height: 26mm; flex: none }
  h1 { font-size: 11pt; margin: 0 0 1mm; overflow-wrap: anywhere }
  code { display: block; font-size: 9pt }
</style>
"""


def write(path: Path, devices: Sequence[Enrolment]) -> None:
    """One label for each. Raises BoardError: segno is missing, or the file cannot be written."""
    try:
        import segno
    except ImportError:
        raise BoardError("--labels wants segno, which is not here: pip install 'latchpin[boards]'") from None
    cells = []
    for made in devices:
        code = segno.make(made.device, micro=False, error="m").svg_inline(scale=1, omitsize=True)
        texts = [html.escape(text) for text in (made.alias or made.device, made.device, made.fingerprint)]
        cells.append("<article>{}<div><h1>{}</h1><code>{}</code><code>{}</code></div></article>\n".format(code, *texts))
    try:
        path.write_text(_PAGE + "".join(cells), encoding="utf-8")
    except OSError as error:
        raise BoardError(f"--labels: {error.strerror}: name another file; the boards are ready") from None
