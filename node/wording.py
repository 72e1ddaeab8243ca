"""Labels: what is said when nothing is wrong. They stand beside the errors in `schemas.texts`, as `LABELS`."""

from schemas.texts import agree

Label = tuple[str, str]  # Chinese, English


def say(label: Label, language: str, **details: object) -> str:
    """The label in one language (`zh` or `en`), its `{places}` filled."""
    chinese, english = label
    return chinese.format(**details) if language == "zh" else agree(english, details).format(**details)
