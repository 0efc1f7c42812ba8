"""Holds the patterns of RFC 9110 and RFC 9112 as compiled expressions, for all who check what was sent.

Each pattern stands beside the ABNF it was made from. Quantifiers are possessive (``*+``) wherever two neighbours
could match the same byte, so that no input, however hostile, costs more than time in proportion to its length.
"""

import re
from functools import cache
from typing import Final

# RFC 9110 section 5.6.2:  token = 1*tchar
TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN: Final = TCHAR + rb"++"
NO_TOKEN: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
TOKEN_START: Final = re.compile(TOKEN)

# RFC 9110 section 5.6.4:  quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
QUOTED_STRING: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'

# RFC 9112 section 3:  request-line = method SP request-target SP HTTP-version
# RFC 9112 section 2.3:  HTTP-version = "HTTP/" DIGIT "." DIGIT
# The target is any run of visible bytes but "#" (RFC 9112 section 3.2 has no fragment); bytes above 0x7F pass.
TARGET: Final = rb"[\x21\x22\x24-\x7e\x80-\xff]++"
TARGET_START: Final = re.compile(TARGET)
REQUEST_LINE: Final = re.compile(f"({TOKEN.decode()}) ({TARGET.decode('latin-1')}) HTTP/([0-9])\\.([0-9])")

# RFC 9112 section 5:  field-line = field-name ":" OWS field-value OWS
# RFC 9110 section 5.5:  field-value = *( VCHAR / obs-text / SP / HTAB ), its outer white space is not part of it.
FIELD_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
FIELD_LINE: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*+(" + FIELD_VALUE + rb")")
# All lines of a block, as text, in one call. To test each character of the values against a set would take most of
# the time, so they are taken as they are, and what may not stand in them is seen from the block as a whole: without
# CONTROLS it must be two characters shorter for each match, its CR and LF. White space behind a value does not match.
FIELD_LINES: Final = re.compile(rf"^({TOKEN.decode()}):[ \t]*+(.*)\r(?<![ \t]\r)\n", re.MULTILINE)
CONTROLS: Final = bytes((*range(9), *range(10, 32), 127))

# What ends a line, or may not stand in one (RFC 9112 section 2.2; NUL: RFC 9110 section 5.5).
LINE_BREAK: Final = re.compile(rb"[\r\n\0]")
BARE_BREAK: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")

# RFC 9112 section 7.1:  chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
# RFC 9112 section 7.1.1:  chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
BWS: Final = rb"[ \t]*+"
CHUNK_EXT: Final = (
    rb"(?:"
    + BWS
    + rb";"
    + BWS
    + TOKEN
    + rb"(?:"
    + BWS
    + rb"="
    + BWS
    + rb"(?:"
    + TOKEN
    + rb"|"
    + QUOTED_STRING
    + rb"))?+)*+"
)
# The line of a chunk without extensions, with its end, to be taken at one go.
PLAIN_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(" + CHUNK_EXT + rb")")

# RFC 9112 section 6.1 and RFC 9110 section 10.1.4:
#   transfer-coding = token *( OWS ";" OWS transfer-parameter ),  transfer-parameter = token BWS "=" BWS ( token / … )
TRANSFER_CODING: Final = re.compile(
    TOKEN + rb"(?:%b;%b%b%b=%b(?:%b|%b))*+" % (BWS, BWS, TOKEN, BWS, BWS, TOKEN, QUOTED_STRING)
)


# RFC 3986 section 2.1:  pct-encoded = "%" HEXDIG HEXDIG
@cache
def pct_encoded() -> dict[bytes, bytes]:
    """Give the octet of each two hex digits; made when the first escape comes, for it takes 0.6 ms."""
    hexdig = b"0123456789ABCDEFabcdef"
    return {bytes((a, b)): bytes((int(bytes((a, b)), 16),)) for a in hexdig for b in hexdig}


BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# RFC 3986 section 3.2.2:  IP-literal = "[" ( IPv6address / IPvFuture ) "]"
_H16: Final = rb"[0-9A-Fa-f]{1,4}"
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = _OCTET + rb"(?:\." + _OCTET + rb"){3}"
_LS32: Final = rb"(?:" + _H16 + rb":" + _H16 + rb"|" + _IPV4 + rb")"
# How many groups may stand before "::" at most, and what then follows it; the whole address is the pattern before them.
_AFTER: Final = (
    (0, rb"(?:" + _H16 + rb":){5}" + _LS32),
    (1, rb"(?:" + _H16 + rb":){4}" + _LS32),
    (2, rb"(?:" + _H16 + rb":){3}" + _LS32),
    (3, rb"(?:" + _H16 + rb":){2}" + _LS32),
    (4, _H16 + rb":" + _LS32),
    (5, _LS32),
    (6, _H16),
    (7, rb""),
)
IPV6: Final = (
    rb"(?:"
    + _H16
    + rb":){6}"
    + _LS32
    + b"".join(
        rb"|(?:" + _H16 + rb"(?::" + _H16 + rb"){0,%d})?::" % (most - 1) + after if most else rb"|::" + after
        for most, after in _AFTER
    )
)
IP_LITERAL: Final = rb"\[(?:" + IPV6 + rb"|v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\]"
# RFC 3986 section 3.2.2:  reg-name = *( unreserved / pct-encoded / sub-delims ); it takes in IPv4 addresses too.
REG_NAME: Final = rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+"
# RFC 9110 section 7.2:  Host = uri-host [ ":" port ]
NAMED_HOST: Final = re.compile(REG_NAME + rb"(?::[0-9]*+)?")


@cache
def literal_host() -> re.Pattern[bytes]:
    """Give the pattern of a Host that is an IP literal; to compile it, 5 ms, is left to the first who sends one."""
    return re.compile(IP_LITERAL + rb"(?::[0-9]*+)?")


# RFC 9112 section 3.2.2:  absolute-form = absolute-URI (RFC 3986 section 4.3), here with an authority.
ABSOLUTE_FORM: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://([^/?]*+)([^?]*+)(?:\?(.*+))?")

# RFC 9110 section 8.6:  Content-Length = 1*DIGIT
DIGITS: Final = re.compile(rb"[0-9]++")
# A length of more digits would not fit into 64 bits, and int() refuses thousands of them in a way of its own.
LENGTH_DIGITS: Final = 19

# What an application gives is text: the same rules once more, as patterns over str.
HEADER_NAME: Final = re.compile(TOKEN.decode())
HEADER_VALUE: Final = re.compile(FIELD_VALUE.decode("latin-1"))
# PEP 3333:  a status is three digits, a space and a reason phrase (RFC 9112 section 4 for its characters).
STATUS: Final = re.compile("[0-9]{3} [\t\x20-\x7e\x80-\xff]*+")
