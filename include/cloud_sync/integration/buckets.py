"""The names that buckets can have, by provider, and what to do about a name that is none.

The rules are those of the providers' own documentation:

- S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html. Until 2018 buckets in
  us-east-1 could have names that break them, and other stores still allow such names.
- Google: https://cloud.google.com/storage/docs/buckets#naming
- Azure: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
- OBS: the rules of S3, and no dot beside a hyphen.

Names that a provider keeps for itself are not refused: some of its own public buckets have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_sync.clouds import MRAP_ARN
from cloud_sync.integration.addresses import Address
from cloud_sync.integration.fields import FieldError, shortened
from cloud_sync.numbers import counted

SHORTEST: Final = 3
LONGEST: Final = 63
LONGEST_OF_GOOGLE: Final = 222
"""With dots; each part between them is at most 63 long."""
LONGEST_OLD: Final = 255
IP_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?")
ALONE: Final = "write the bucket's name alone"
PLAIN: Final = r"[a-z0-9.-]"
ENDS: Final = (r"^[^a-z0-9]|[^a-z0-9]$", "does not begin and end with a letter or digit")
DOTS: Final = (r"\.\.", "has two dots in a row")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the names of one provider are like.

    Attributes:
        text: The rules for a person.
        characters: Matches each character that may be there.
        longest: Characters at most.
        never: Patterns of what may not be there, each with what is said of it.
        besides: Names that break the rules and are there all the same.
    """

    text: str
    characters: str = PLAIN
    longest: int = LONGEST
    never: tuple[tuple[str, str], ...] = (ENDS, DOTS)
    besides: frozenset[str] = frozenset()

    def broken(self, name: str) -> str | None:
        """Return what is wrong with a name, as a verb and its object; None if nothing is."""
        return None if name in self.besides else next(self._all_broken(name), None)

    def _all_broken(self, name: str) -> Iterator[str]:
        if not SHORTEST <= len(name) <= self.longest:
            yield f"has {counted(len(name), 'character')}"
        for character in name:
            if not re.fullmatch(self.characters, character):
                yield f"has {_called(character)}"
        for pattern, told in self.never:
            if re.search(pattern, name):
                yield told


BETWEEN: Final = "with a letter or digit at both ends"
RULES: Final[Mapping[str, Rules]] = {
    "s3": Rules(f"a bucket of S3 has 3 to 63 lower-case letters, digits, dots and hyphens, {BETWEEN}"),
    "gcs": Rules(
        "a bucket of Google has 3 to 63 lower-case letters, digits, hyphens and underscores, or up to 222 in "
        f"parts of that length with dots between them, {BETWEEN}",
        characters=r"[a-z0-9._-]",
        longest=LONGEST_OF_GOOGLE,
        never=(ENDS, (rf"[^.]{{{LONGEST + 1}}}", f"has more than {LONGEST} characters without a dot")),
    ),
    "azure": Rules(
        "a container has 3 to 63 lower-case letters, digits and single hyphens between them",
        characters=r"[a-z0-9-]",
        never=(ENDS, ("--", "has two hyphens in a row")),
        besides=frozenset({"$root", "$web"}),
    ),
    "otc": Rules(
        "a bucket of OBS has 3 to 63 lower-case letters, digits, dots and hyphens, neither beside the other, "
        f"{BETWEEN}",
        never=(ENDS, DOTS, (r"\.-|-\.", "has a dot beside a hyphen")),
    ),
}
OLD: Final = Rules(RULES["s3"].text, characters=r"[A-Za-z0-9._-]", longest=LONGEST_OLD, never=())
"""Names that S3 allowed before 2018 in us-east-1, and that other stores allow."""
EVER_ALLOWED: Final[Mapping[str, Rules]] = {**RULES, "s3": OLD}


def check_bucket(bucket: str, provider: str | None) -> None:
    """Refuse what cannot be a bucket's name, whatever the style of its URLs.

    Args:
        bucket: What the file says.
        provider: The provider; None if the file says none that there is.

    Raises:
        FieldError: Says which rule is broken, and what to write.
    """
    _refuse_address(bucket, provider)
    if IP_ADDRESS.fullmatch(bucket):
        raise FieldError(
            f"{bucket} is the address of a store.",
            "Write the bucket's name here; the connection says where the store is.",
        )
    if provider and (broken := EVER_ALLOWED[provider].broken(bucket)):
        raise FieldError(*_told(bucket, broken, provider))


def check_bucket_in_host(bucket: str) -> None:
    """Refuse a bucket of S3 whose name cannot stand in a host name, as in URLs of the style virtual-hosted.

    Raises:
        FieldError: Says which rule is broken, and what to do if the bucket has this name all the same.
    """
    if broken := RULES["s3"].broken(bucket):
        raise FieldError(
            *_told(bucket, broken, "s3"),
            "If it really has this name, as buckets from before 2018 and those of other stores may, write "
            "url_style: path.",
            at=("bucket",),
        )


def _refuse_address(bucket: str, provider: str | None) -> None:
    if MRAP_ARN.fullmatch(bucket):
        raise FieldError(
            "is the ARN of a Multi-Region Access Point. Write it as mrap_arn, with url_style: mrap, and here "
            "the name of one of the buckets behind it."
        )
    if (address := Address.of(bucket)) and address.bucket:
        raise FieldError(f"{ALONE}: {address.as_fields(without={'provider': provider})}.")
    name, slash, prefix = bucket.partition("/")
    if slash and name and ":" not in bucket:
        behind = f", and the part behind the slash as the prefix: `prefix: {prefix}`" if prefix else ""
        raise FieldError(f"{ALONE}: `bucket: {name}`{behind}.")
    if slash or ":" in bucket:
        raise FieldError(f"{ALONE}, without the address of its store (it says {shortened(bucket)}).")


def _told(bucket: str, broken: str, provider: str) -> tuple[str, str]:
    return f"{shortened(bucket)} {broken}: {RULES[provider].text}.", _meant(bucket, provider)


def _called(character: str) -> str:
    if character.isupper():
        return "capital letters"
    return {"_": "underscores", " ": "spaces", ".": "dots"}.get(character, f"the character {character!r}")


def _meant(bucket: str, provider: str) -> str:
    """Return the name that may be meant: the same in lower case, or with hyphens."""
    lower = bucket.strip().lower()
    for name in (lower, re.sub("[_ ]", "-", lower), re.sub("[_ .-]+", "-", lower).strip("-")):
        if name != bucket and not RULES[provider].broken(name):
            return f"Did you mean {name}?"
    return ""
