"""Bodies of administration, authentication, sessions and replication, and which body a message has (2.3, 4).

The dataclasses follow the order of the wire. `trailing` is what stands behind the last field.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct

from schemas.handle_bodies import (
    decode_error,
    decode_handle_body,
    decode_handle_values,
    decode_referral,
    decode_resolution_request,
)
from schemas.handle_bytes import (
    MalformedMessage,
    Reader,
    encode_bytes,
    encode_i32,
    encode_i64,
    encode_list,
    encode_text,
    encode_u8,
    encode_u16,
)
from schemas.handle_messages import (
    Message,
    Opcode,
    RequestDigest,
    ResponseCode,
    Version,
    decode_digest,
    encode_digest,
    is_before,
    split_digest,
)
from schemas.handle_values import decode_site

_SLICE = Struct(">Bii")

KEY_CIPHER_CLIENT, KEY_CIPHER_SERVER, KEY_CIPHER_HANDLE, KEY_DIFFIE_HELLMAN = 1, 2, 3, 4
SECRET_KEY_PBKDF2 = 0x22


def _trailing() -> bytes:
    return field(default=b"", compare=False)


# Records


@dataclass(frozen=True, slots=True)
class RemoveRequest:
    handle: bytes
    indexes: list[int]
    trailing: bytes = _trailing()


def decode_remove_request(body: bytes) -> RemoveRequest:
    reader = Reader(body)
    handle = reader.bytes_()
    return RemoveRequest(handle, [reader.i32() for _ in range(reader.count(4))], reader.rest())


def encode_remove_request(request: RemoveRequest) -> bytes:
    return encode_bytes(request.handle) + encode_list(map(encode_i32, request.indexes)) + request.trailing


@dataclass(frozen=True, slots=True)
class HandleList:
    """Names in a listing; all parts but the last carry the flag CONT."""

    handles: list[bytes]
    trailing: bytes = _trailing()


def decode_handle_list(body: bytes) -> HandleList:
    reader = Reader(body)
    return HandleList([reader.bytes_() for _ in range(reader.count(4))], reader.rest())


def encode_handle_list(body: HandleList) -> bytes:
    return encode_list(map(encode_bytes, body.handles)) + body.trailing


# Challenges


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the client is to sign: nonce and the digest of its request."""

    nonce: bytes
    digest: RequestDigest
    trailing: bytes = _trailing()


def decode_challenge(message: Message) -> Challenge:
    """A 402 answer. From 2.1 on the digest stands in front, before that an untyped MD5 follows the nonce."""
    if is_before(message.envelope.version, (2, 1)):
        reader = Reader(message.body)
        return Challenge(reader.bytes_(), RequestDigest(1, reader.bytes_()), reader.rest())
    reader = Reader(message.body)
    digest = decode_digest(reader)
    return Challenge(reader.bytes_(), digest, reader.rest())


def encode_challenge(challenge: Challenge, version: Version) -> bytes:
    """The body without the digest in front of it, which make_response puts there from 2.1 on."""
    old = encode_bytes(challenge.digest.digest) if is_before(version, (2, 1)) else b""
    return encode_bytes(challenge.nonce) + old + challenge.trailing


@dataclass(frozen=True, slots=True)
class ChallengeAnswer:
    """`auth_type` is HS_SECKEY or HS_PUBKEY; the proof is read by decode_secret_key_proof or decode_signature."""

    auth_type: str
    user_handle: bytes
    user_index: int
    signed_response: bytes
    trailing: bytes = _trailing()


def decode_challenge_answer(body: bytes) -> ChallengeAnswer:
    reader = Reader(body)
    return ChallengeAnswer(reader.text(), reader.bytes_(), reader.i32(), reader.bytes_(), reader.rest())


def encode_challenge_answer(answer: ChallengeAnswer) -> bytes:
    user = encode_bytes(answer.user_handle) + encode_i32(answer.user_index)
    return encode_text(answer.auth_type) + user + encode_bytes(answer.signed_response) + answer.trailing


@dataclass(frozen=True, slots=True)
class SecretKeyProof:
    """A MAC by a secret key (4.2); salt, iterations and key size only with PBKDF2. Bound them before computing."""

    algorithm: int
    mac: bytes
    salt: bytes = b""
    iterations: int = 0
    key_bits: int = 0


def decode_secret_key_proof(signed_response: bytes) -> SecretKeyProof:
    """The typed form of protocol 2.1 and later; before, the response is a bare MD5."""
    reader = Reader(signed_response)
    algorithm = reader.u8()
    if algorithm != SECRET_KEY_PBKDF2:
        return SecretKeyProof(algorithm, reader.rest())
    salt, iterations, key_bits, mac = reader.bytes_(), reader.i32(), reader.i32(), reader.bytes_()
    reader.expect_end()
    return SecretKeyProof(algorithm, mac, salt, iterations, key_bits)


def encode_secret_key_proof(proof: SecretKeyProof) -> bytes:
    if proof.algorithm != SECRET_KEY_PBKDF2:
        return encode_u8(proof.algorithm) + proof.mac
    numbers = encode_i32(proof.iterations) + encode_i32(proof.key_bits)
    return encode_u8(proof.algorithm) + encode_bytes(proof.salt) + numbers + encode_bytes(proof.mac)


@dataclass(frozen=True, slots=True)
class Signature:
    """A proof by a public key (4.3)."""

    hash_algorithm: str
    signature: bytes


def decode_signature(signed_response: bytes) -> Signature:
    reader = Reader(signed_response)
    signature = Signature(reader.text(), reader.bytes_())
    reader.expect_end()
    return signature


def encode_signature(signature: Signature) -> bytes:
    return encode_text(signature.hash_algorithm) + encode_bytes(signature.signature)


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Is this the right answer for that user? Index 0 is any secret key of the handle."""

    handle: bytes
    index: int
    nonce: bytes
    digest: RequestDigest
    signed_response: bytes
    trailing: bytes = _trailing()


def decode_verify_request(body: bytes) -> VerifyRequest:
    """The digest's first byte tells its form: 0 begins a length, 1 to 3 are types."""
    reader = Reader(body)
    handle, index, nonce = reader.bytes_(), reader.i32(), reader.bytes_()
    digest = decode_digest(reader) if reader.peek_u8() else RequestDigest(0, reader.bytes_())
    return VerifyRequest(handle, index, nonce, digest, reader.bytes_(), reader.rest())


def encode_verify_request(request: VerifyRequest) -> bytes:
    digest = encode_digest(request.digest) if request.digest.type else encode_bytes(request.digest.digest)
    user = encode_bytes(request.handle) + encode_i32(request.index)
    return user + encode_bytes(request.nonce) + digest + encode_bytes(request.signed_response) + request.trailing


@dataclass(frozen=True, slots=True)
class VerifyResponse:
    """Bit 0 of `result` says whether the proof is right."""

    result: int
    trailing: bytes = _trailing()


def decode_verify_response(body: bytes) -> VerifyResponse:
    reader = Reader(body)
    return VerifyResponse(reader.u8(), reader.rest())


def encode_verify_response(response: VerifyResponse) -> bytes:
    return encode_u8(response.result) + response.trailing


# Sessions and logins


@dataclass(frozen=True, slots=True)
class SessionSetupRequest:
    """`public_key` is a key record in modes 1 and 4; the exchange key is named in mode 3 only.

    Java leaves two zero bytes behind it, here and in the response.
    """

    mode: int
    timeout_seconds: int
    identity_handle: bytes
    identity_index: int
    public_key: bytes = b""
    exchange_handle: bytes = b""
    exchange_index: int = 0
    trailing: bytes = _trailing()


def decode_session_setup_request(body: bytes) -> SessionSetupRequest:
    reader = Reader(body)
    head = reader.u16(), reader.i32(), reader.bytes_(), reader.i32()
    key, exchange_handle, exchange_index = b"", b"", 0
    match head[0]:
        case 1 | 4:
            key = reader.bytes_()
        case 3:
            exchange_handle, exchange_index = reader.bytes_(), reader.i32()
        case 2:
            pass
        case unknown:
            raise MalformedMessage(f"key exchange mode {unknown}")
    return SessionSetupRequest(*head, key, exchange_handle, exchange_index, reader.rest())


def encode_session_setup_request(request: SessionSetupRequest) -> bytes:
    identity = encode_bytes(request.identity_handle) + encode_i32(request.identity_index)
    head = encode_u16(request.mode) + encode_i32(request.timeout_seconds) + identity
    if request.mode == KEY_CIPHER_HANDLE:
        key = encode_bytes(request.exchange_handle) + encode_i32(request.exchange_index)
    else:
        key = b"" if request.mode == KEY_CIPHER_SERVER else encode_bytes(request.public_key)
    return head + key + request.trailing


@dataclass(frozen=True, slots=True)
class SessionSetupResponse:
    """`data` in mode 4 from 2.4 on: an algorithm (1 DES, 2 DESede, 3 AES, 4 SM4) and a DH key record."""

    mode: int
    data: bytes
    trailing: bytes = _trailing()


def decode_session_setup_response(body: bytes) -> SessionSetupResponse:
    reader = Reader(body)
    return SessionSetupResponse(reader.u16(), reader.bytes_(), reader.rest())


def encode_session_setup_response(response: SessionSetupResponse) -> bytes:
    return encode_u16(response.mode) + encode_bytes(response.data) + response.trailing


def decode_session_key_data(data: bytes) -> tuple[int, bytes]:
    """The algorithm and the key or key record behind it."""
    reader = Reader(data)
    return reader.i32(), reader.rest()


@dataclass(frozen=True, slots=True)
class Login:
    """Opcode 2001 of the Chinese clients: the user who wants to be challenged."""

    handle: bytes
    index: int
    trailing: bytes = _trailing()


def decode_login(body: bytes) -> Login:
    reader = Reader(body)
    return Login(reader.bytes_(), reader.i32(), reader.rest())


def encode_login(login: Login) -> bytes:
    return encode_bytes(login.handle) + encode_i32(login.index) + login.trailing


# Replication


@dataclass(frozen=True, slots=True)
class HashSlice:
    """Which part of the hash space a mirror holds."""

    hash_option: int
    servers: int
    server: int


def _decode_slice(reader: Reader) -> HashSlice:
    return HashSlice(*reader.unpack(_SLICE))


def _encode_slice(part: HashSlice) -> bytes:
    return _SLICE.pack(part.hash_option, part.servers, part.server)


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """`resume` is where an earlier dump stopped: a starting point and the kind of record it names."""

    receiver: HashSlice
    resume: tuple[bytes, int] | None = None
    trailing: bytes = _trailing()


def decode_dump_request(body: bytes) -> DumpRequest:
    reader = Reader(body)
    receiver = _decode_slice(reader)
    resume = (reader.bytes_(), reader.i32()) if reader.left else None
    return DumpRequest(receiver, resume, reader.rest())


def encode_dump_request(request: DumpRequest) -> bytes:
    resume = encode_bytes(request.resume[0]) + encode_i32(request.resume[1]) if request.resume else b""
    return _encode_slice(request.receiver) + resume + request.trailing


@dataclass(frozen=True, slots=True)
class TransactionsRequest:
    """What a mirror has: a JSON state of several queues (from 2.9 on), or one id and date in milliseconds."""

    receiver: HashSlice
    state: bytes | None = None
    last_id: int = 0
    last_query_ms: int = 0
    trailing: bytes = _trailing()


def decode_transactions_request(body: bytes, version: Version) -> TransactionsRequest:
    reader = Reader(body)
    kind = 0 if is_before(version, (2, 9)) else reader.u8()
    if kind > 1:
        raise MalformedMessage(f"replication state of kind {kind}")
    state = reader.bytes_() if kind else None
    last_id, last_query_ms = (0, 0) if kind else (reader.i64(), reader.i64())
    return TransactionsRequest(_decode_slice(reader), state, last_id, last_query_ms, reader.rest())


def encode_transactions_request(request: TransactionsRequest, version: Version) -> bytes:
    end = _encode_slice(request.receiver) + request.trailing
    if request.state is not None:
        return encode_u8(1) + encode_bytes(request.state) + end
    kind = b"" if is_before(version, (2, 9)) else encode_u8(0)
    return kind + encode_i64(request.last_id) + encode_i64(request.last_query_ms) + end


# Which body a message has

_REQUESTS: dict[int, Callable[[bytes], object]] = {
    Opcode.RESOLUTION: decode_resolution_request,
    Opcode.GET_SITE_INFO: decode_handle_body,
    Opcode.CREATE_HANDLE: decode_handle_values,
    Opcode.DELETE_HANDLE: decode_handle_body,
    Opcode.ADD_VALUE: decode_handle_values,
    Opcode.REMOVE_VALUE: decode_remove_request,
    Opcode.MODIFY_VALUE: decode_handle_values,
    Opcode.LIST_HANDLES: decode_handle_body,
    Opcode.LIST_DERIVED_PREFIXES: decode_handle_body,
    Opcode.RESPONSE_TO_CHALLENGE: decode_challenge_answer,
    Opcode.VERIFY_CHALLENGE: decode_verify_request,
    Opcode.HOME_NA: decode_handle_body,
    Opcode.UNHOME_NA: decode_handle_body,
    Opcode.LIST_HOMED_NAS: decode_handle_body,
    Opcode.SESSION_SETUP: decode_session_setup_request,
    Opcode.SESSION_TERMINATE: decode_handle_body,
    Opcode.SESSION_EXCHANGEKEY: decode_handle_body,  # the same layout: one wire `str`, here the encrypted key
    Opcode.GET_NEXT_TXN_ID: decode_handle_body,
    Opcode.DUMP_HANDLES: decode_dump_request,
    Opcode.BACKUP_SERVER: decode_handle_body,
    Opcode.LOGIN: decode_resolution_request,
    Opcode.LOGIN_ID_SYSTEM: decode_login,
}
_SUCCESSES: dict[int, Callable[[bytes], object]] = {
    Opcode.RESOLUTION: decode_handle_values,
    Opcode.GET_SITE_INFO: decode_site,
    Opcode.LIST_HANDLES: decode_handle_list,
    Opcode.LIST_DERIVED_PREFIXES: decode_handle_list,
    Opcode.LIST_HOMED_NAS: decode_handle_list,
    Opcode.VERIFY_CHALLENGE: decode_verify_response,
    Opcode.SESSION_SETUP: decode_session_setup_response,
}


def decode_body(message: Message) -> object:
    """The body as the dataclass it is; bytes where it is empty or of a kind we do not know."""
    header = message.header
    if message.is_request and header.opcode == Opcode.RETRIEVE_TXN_LOG:
        return decode_transactions_request(message.body, message.envelope.version)
    if message.is_request:
        return _REQUESTS.get(header.opcode, bytes)(message.body)
    if header.response_code == ResponseCode.AUTHENTICATION_NEEDED:
        return decode_challenge(message)
    _, body = split_digest(message)
    match header.response_code:
        case ResponseCode.SUCCESS if header.opcode == Opcode.CREATE_HANDLE:
            return decode_handle_body(body) if body else body  # older servers say nothing
        case ResponseCode.SUCCESS:
            return _SUCCESSES.get(header.opcode, bytes)(body)
        case ResponseCode.SERVICE_REFERRAL | ResponseCode.PREFIX_REFERRAL:
            return decode_referral(body)
        case _:
            return decode_error(body)
