"""Cases that hold in HTTP/1.1 and in HTTP/2 alike."""

from harness import CLOSE, RESET, STATUS, case

# Paths and queries that pass byte for byte.
TARGETS = [
    case("a_root", b"/"),
    case("an_empty_query", b"/?"),
    case("two_slashes", b"//"),
    case("slashes_inside", b"/a//b///c/"),
    case("an_escaped_slash", b"/a%2Fb%2fc"),
    case("dots_up", b"/a/../b"),
    case("dots_up_from_the_root", b"/../../etc", nginx="400"),
    case("a_query_with_space_and_plus", b"/?a=%20+"),
    case("a_query_with_slashes_and_dots", b"/a?b=/../c//d"),
    case("a_query_with_question_marks", b"/a?b?c??"),
    case("an_escaped_line_end", b"/a%0d%0aX-Evil:%201"),
    case("a_token_like_telegrams", b"/bot123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"),
]

# Answers of an upstream that break off.
BREAKS_OFF = [
    case("in_a_length", [STATUS + b"Content-Length: 10\r\n\r\nhello", CLOSE]),
    case("in_a_length_by_reset", [STATUS + b"Content-Length: 100000\r\n\r\nhello", RESET]),
    case("in_a_chunk", [STATUS + b"Transfer-Encoding: chunked\r\n\r\na\r\nhello", CLOSE]),
    case("between_chunks", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSE]),
    case("in_the_last_chunk", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", CLOSE]),
    case("at_a_bad_chunk_size", [STATUS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n"]),
]
