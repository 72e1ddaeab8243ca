"""What a Handle message is answered with: bytes in, bytes out, at once if the cache knows, else later.

A worker answers anonymous public resolution and site information itself, whatever session id the envelope carries.
What needs credentials is refused with 5, and what needs a session or a challenge that only a registry could have
begun with 500 or 405, so that clients begin again. A request for a signed answer (CERT) is refused with 5 as well:
this node has no key, and a client that asks for a signature discards an unsigned answer, so that 5 with a reason
is the one thing it can learn. Malformed messages get 4 with their own request id.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from resolver.cache import RecordCache
from resolver.entry import OUTCOMES, Entry
from resolver.handle_fast import MAX_RECURSION, PlainCodec
from resolver.upstream import Upstream, UpstreamAnswer
from schemas.handle_admin_messages import Challenge, encode_challenge
from schemas.handle_bodies import ResolutionRequest, decode_resolution_request
from schemas.handle_bytes import MalformedMessage, encode_bytes, encode_text
from schemas.handle_messages import (
    CERT,
    DNRF,
    ENCR,
    EXPIRATION_SECONDS,
    MAX_HANDLE_BYTES,
    MAX_MESSAGE_BYTES,
    PUBL,
    RECU,
    Message,
    Opcode,
    ResponseCode,
    decode_message,
    digest_request,
    encode_message,
    encode_response,
    find_answerable,
    make_response,
    negotiate_version,
)
from schemas.handle_values import decode_site, encode_values
from schemas.resolution_log import ClientClass, Outcome, Transport
from schemas.segments import SegmentWriter
from schemas.texts import format_message, format_remedy

_FOUND = Outcome.FOUND  # both this and the class of the public are 1 in the log
_MAX_TAIL_BYTES = MAX_MESSAGE_BYTES - 4_096  # larger ones are refused the readable way
HEARTBEAT = b"0"  # what the Chinese SDKs resolve to see whether somebody is there
MAX_INDEXES, MAX_TYPES = 2_048, 64  # different ones in a request; every type is compared with every value
_NEEDS_SESSION = {Opcode.SESSION_TERMINATE, Opcode.SESSION_EXCHANGEKEY}
_UPSTREAM_OUTCOMES = {
    ResponseCode.SUCCESS: Outcome.FOUND,
    ResponseCode.VALUES_NOT_FOUND: Outcome.NO_VALUES,
    ResponseCode.SERVICE_REFERRAL: Outcome.REFERRAL,
    ResponseCode.PREFIX_REFERRAL: Outcome.REFERRAL,
    ResponseCode.INSUFFICIENT_PERMISSIONS: Outcome.DENIED,
    ResponseCode.ERROR: Outcome.UNAVAILABLE,
    ResponseCode.SERVER_TOO_BUSY: Outcome.UNAVAILABLE,
}
_CODES = {
    Outcome.NO_VALUES: ResponseCode.VALUES_NOT_FOUND,
    Outcome.NOT_FOUND: ResponseCode.HANDLE_NOT_FOUND,
    Outcome.RETIRED: ResponseCode.HANDLE_NOT_FOUND,
}


class Asker(Protocol):
    """Who sent a message. `address`: 0, 4 or 16 bytes. `send_later` takes an answer that was not there at once.

    `give_up` is called instead if that answer cannot be made: out of memory, a damaged row.
    """

    @property
    def address(self) -> bytes: ...

    def send_later(self, reply: bytes) -> None: ...

    def give_up(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Node:
    """This node as its answers show it: its HS_SITE record, the upstream if there is one, its clock in unix seconds."""

    site: bytes
    upstream: Upstream | None = None
    wall_clock: Callable[[], float] = time.time

    @property
    def site_serial(self) -> int:
        return decode_site(self.site).serial


@dataclass(frozen=True, slots=True)
class Question:
    """A resolution that is being answered."""

    message: Message
    asked: ResolutionRequest
    asker: Asker

    @property
    def flags(self) -> int:
        return self.message.header.flags


class HandleAnswers:
    """Answers the messages of one transport; every question about an identifier is logged as its answer is made."""

    def __init__(self, records: RecordCache, log: SegmentWriter, transport: Transport, node: Node) -> None:
        self._records = records
        self._transport = int(transport)
        self._site, self._site_serial = node.site, node.site_serial
        self._upstream = node.upstream
        self._wall_clock = node.wall_clock
        plain = PlainCodec(node.site_serial)
        self._decode, self._encode = plain.decode, plain.encode
        self._tasks: set[asyncio.Task[None]] = set()
        self._find, self._append = records.find, log.append
        self._sandboxes = records.prefixes.sandboxes

    def answer_plain(self, message: bytes, address: bytes) -> bytes | None:
        """The answer to the commonest question; None if this is another one, or nothing of the kind is cached."""
        shape = self._decode(message)
        if shape is None:
            return None
        handle = message[48 : shape[0]]
        entry = self._find(handle)
        if entry is None or entry.outcome is not _FOUND or (not shape[2] and entry.may_hide):
            return None
        if entry.prefix_id in self._sandboxes:  # counted apart
            return None
        tail = entry.handle_tail()
        if len(tail) > _MAX_TAIL_BYTES:
            return None
        expiration = int(self._wall_clock()) + EXPIRATION_SECONDS
        if expiration > 0x7FFF_FFFF:
            return None
        reply = self._encode(message, shape, tail, expiration)
        self._append(handle, entry.prefix_id, entry.template_id, self._transport, 1, 1, address)
        return reply

    def answer(self, data: bytes, asker: Asker) -> bytes | None:
        """The reply to one whole message; None: the asker's `send_later` will get it. Never raises."""
        reply = self.answer_plain(data, asker.address)
        if reply is not None:
            return reply
        try:
            return self._answer_message(decode_message(data), asker)
        except MalformedMessage as error:
            return self.answer_malformed(error)

    def answer_malformed(self, error: MalformedMessage) -> bytes:
        """What is said about a message that cannot be read; empty if nobody could relate it to theirs."""
        message = find_answerable(error)
        if message is None:
            return b""
        if error.header is None and message.envelope.is_encrypted:
            return self._refuse(message, ResponseCode.SESSION_TIMEOUT, "handle_no_session")
        return self._refuse(message, ResponseCode.PROTOCOL_ERROR, "handle_malformed", reason=error.reason)

    def refuse_size(self, data: bytes, size: int) -> bytes:
        """Instead of an answer of `size` bytes that a datagram cannot carry; `data` is the request."""
        return self._refuse(decode_message(data), ResponseCode.PROTOCOL_ERROR, "handle_too_large_for_udp", size=size)

    def close(self) -> None:
        """Give up the questions that wait for the upstream."""
        for task in self._tasks:
            task.cancel()

    # Decisions

    def _answer_message(self, message: Message, asker: Asker) -> bytes | None:
        if not message.is_request:
            return self._refuse(message, ResponseCode.PROTOCOL_ERROR, "handle_not_a_request")
        hops, opcode = message.header.recursion_count, message.header.opcode
        if hops >= MAX_RECURSION:
            return self._refuse(message, ResponseCode.RECURSION_COUNT_TOO_HIGH, "handle_too_many_hops", hops=hops)
        if message.header.flags & ENCR or opcode in _NEEDS_SESSION:
            return self._refuse(message, ResponseCode.SESSION_TIMEOUT, "handle_no_session")
        match opcode:
            case Opcode.RESOLUTION:
                return self._answer_resolution(message, asker)
            case Opcode.GET_SITE_INFO if not message.header.flags & CERT:
                return self._respond(message, ResponseCode.SUCCESS, self._site)
            case Opcode.GET_SITE_INFO:
                return self._refuse(message, ResponseCode.OPERATION_NOT_SUPPORTED, "handle_unsigned")
            case Opcode.RESPONSE_TO_CHALLENGE:
                return self._refuse(message, ResponseCode.AUTHENTICATION_TIMEOUT, "handle_no_challenge")
            case Opcode.GET_NEXT_TXN_ID:
                text = "handle_no_longer_supported"
            case _:
                text = "handle_needs_credentials" if opcode in _KNOWN_OPCODES else "handle_unknown_opcode"
        return self._refuse(message, ResponseCode.OPERATION_NOT_SUPPORTED, text, opcode=opcode)

    def _answer_resolution(self, message: Message, asker: Asker) -> bytes | None:
        try:
            asked = decode_resolution_request(message.body)
        except MalformedMessage as error:
            return self._refuse(message, ResponseCode.PROTOCOL_ERROR, "handle_malformed", reason=error.reason)
        question, handle = Question(message, asked, asker), asked.handle
        if not handle:
            return self._refuse_question(question, ResponseCode.INVALID_HANDLE, "handle_identifier_empty")
        if len(handle) > MAX_HANDLE_BYTES:
            details = {"length": len(handle), "limit": MAX_HANDLE_BYTES}
            return self._refuse_question(question, ResponseCode.INVALID_HANDLE, "handle_identifier_too_long", **details)
        if len(set(asked.indexes)) > MAX_INDEXES or len(set(asked.types)) > MAX_TYPES:
            return self._refuse_question(question, ResponseCode.PROTOCOL_ERROR, "handle_too_many_filters")
        if handle == HEARTBEAT:
            self._append(handle, 0, 0, self._transport, Outcome.NOT_FOUND, ClientClass.PROBE, asker.address)
            return self._respond(message, ResponseCode.HANDLE_NOT_FOUND, encode_text(""))
        entry = self._records.find(handle)
        if entry is not None:
            return self._answer_entry(question, entry)
        self._records.fetch(handle, lambda found: self._deliver(question, found))
        return None

    def _deliver(self, question: Question, entry: Entry | None) -> None:
        """The database has answered, or cannot now."""
        try:
            reply = self._answer_entry(question, entry)
        except Exception:
            question.asker.give_up()
            raise
        if reply is not None:
            question.asker.send_later(reply)

    def _answer_entry(self, question: Question, entry: Entry | None) -> bytes | None:
        message, log = question.message, self._log_question
        if entry is None:
            log(question, Outcome.UNAVAILABLE)
            return self._refuse(message, ResponseCode.SERVER_TOO_BUSY, "handle_unavailable")
        if question.flags & CERT:
            log(question, Outcome.DENIED, entry)
            return self._refuse(message, ResponseCode.OPERATION_NOT_SUPPORTED, "handle_unsigned")
        if entry.outcome is Outcome.REFERRAL:
            return self._refer(question, entry)
        if entry.is_foreign:
            return self._answer_foreign(question, entry)
        return self._answer_record(question, entry)

    def _answer_record(self, question: Question, entry: Entry) -> bytes:
        asked, message = question.asked, question.message
        outcome, tail = entry.outcome, b""
        if asked.indexes or asked.types or (not question.flags & PUBL and entry.may_hide):
            indexes, types = list(dict.fromkeys(asked.indexes)), list(dict.fromkeys(asked.types))
            answer = entry.answer(indexes, types, bool(question.flags & PUBL))
            outcome = OUTCOMES[answer.verdict]
            if outcome is Outcome.FOUND:
                tail = encode_values(answer.values)
        elif outcome is Outcome.FOUND:
            tail = entry.handle_tail()
        self._log_question(question, outcome, entry)
        if outcome is Outcome.FOUND:
            return self._respond_values(message, ResponseCode.SUCCESS, asked.handle, tail)
        if outcome is Outcome.DENIED:
            return self._challenge(message)
        text = format_both(entry.note) if entry.note and outcome is Outcome.NOT_FOUND else ""
        return self._respond(message, _CODES[outcome], encode_text(text))

    def _refer(self, question: Question, entry: Entry) -> bytes:
        """Where the enterprise answers itself: its site inline, with an empty handle as DO-IRP 3.0 wants it."""
        if question.flags & DNRF:
            self._log_question(question, Outcome.NOT_FOUND, entry)
            return self._refuse(question.message, ResponseCode.SERVER_NOT_RESPONSIBLE, "handle_hosted_elsewhere")
        self._log_question(question, Outcome.REFERRAL, entry)
        return self._respond_values(question.message, ResponseCode.SERVICE_REFERRAL, b"", entry.handle_tail())

    # Foreign prefixes

    def _answer_foreign(self, question: Question, entry: Entry) -> bytes | None:
        upstream, asked = self._upstream, question.asked
        if upstream is None or not question.flags & RECU:
            self._log_question(question, Outcome.NOT_FOUND, entry)
            return self._refuse(question.message, ResponseCode.SERVER_NOT_RESPONSIBLE, "handle_not_responsible")
        known = upstream.find(asked.handle, asked.indexes, asked.types)
        if known is not None:
            return self._answer_upstream(question, known)
        task = asyncio.get_running_loop().create_task(self._ask_upstream(question, upstream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _ask_upstream(self, question: Question, upstream: Upstream) -> None:
        asked = question.asked
        try:
            answer = await upstream.resolve(asked.handle, asked.indexes, asked.types)
            reply = self._answer_upstream(question, answer)
        except Exception:
            question.asker.give_up()
            raise
        question.asker.send_later(reply)

    def _answer_upstream(self, question: Question, answer: UpstreamAnswer) -> bytes:
        code, message = answer.response_code, question.message
        if code in (ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL) and question.flags & DNRF:
            code = ResponseCode.SERVER_NOT_RESPONSIBLE
        self._log_question(question, _UPSTREAM_OUTCOMES.get(ResponseCode(code), Outcome.NOT_FOUND))
        if code == ResponseCode.SUCCESS:
            return self._respond_values(message, code, question.asked.handle, encode_values(answer.values))
        if code in (ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL):
            handle = answer.handle.encode("utf-8", "replace")
            return self._respond_values(message, code, handle, encode_values(answer.values) if answer.values else b"")
        return self._respond(message, code, encode_text(answer.message))

    # Replies

    def _log_question(self, question: Question, outcome: Outcome, entry: Entry | None = None) -> None:
        handle, address = question.asked.handle, question.asker.address
        if entry is not None:
            prefix_id, template_id = entry.prefix_id, entry.template_id
        else:
            prefix_id, template_id = self._records.find_prefix_id(handle) if outcome is Outcome.UNAVAILABLE else 0, 0
        client_class = self._records.prefixes.choose_class(prefix_id, ClientClass.PUBLIC)
        self._append(handle, prefix_id, template_id, self._transport, outcome, client_class, address)

    def _respond(self, message: Message, code: int, body: bytes) -> bytes:
        now = int(self._wall_clock())
        return encode_response(message, code, body, now=now, site_serial=self._site_serial)

    def _respond_values(self, message: Message, code: int, handle: bytes, tail: bytes) -> bytes:
        """A handle and values; too many for one message are refused rather than cut."""
        reply = self._respond(message, code, encode_bytes(handle) + tail)
        if len(reply) > MAX_MESSAGE_BYTES:
            return self._refuse(message, ResponseCode.ERROR, "handle_too_large", size=len(reply))
        return reply

    def _refuse(self, message: Message, code: int, text: str, **details: object) -> bytes:
        return self._respond(message, code, encode_text(format_both(text, **details)))

    def _refuse_question(self, question: Question, code: int, text: str, **details: object) -> bytes:
        self._log_question(question, Outcome.MALFORMED)
        return self._refuse(question.message, code, text, **details)

    def _challenge(self, message: Message) -> bytes:
        """402 with a nonce and a session of its own; an answer to it gets 405, since nobody here could check it."""
        version = negotiate_version(message.envelope)
        challenge = Challenge(secrets.token_bytes(16), digest_request(message, version))
        now, serial = int(self._wall_clock()), self._site_serial
        body = encode_challenge(challenge, version)
        made = make_response(message, ResponseCode.AUTHENTICATION_NEEDED, body, now=now, site_serial=serial)
        session_id = secrets.randbelow(0x7FFF_FFFF) + 1
        return encode_message(replace(made, envelope=replace(made.envelope, session_id=session_id)))


_KNOWN_OPCODES = frozenset(Opcode)


def format_both(code: str, **details: object) -> str:
    """What is wrong and what to do, in both languages: the protocol does not say which one the reader speaks."""
    return " ".join(
        say(code, language, **details) for language in ("en", "zh") for say in (format_message, format_remedy)
    )
