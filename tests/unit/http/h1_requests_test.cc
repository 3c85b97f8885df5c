// The table of raw HTTP/1 requests, good and malformed. Every row is fed whole, split at every
// position, and byte by byte; verdict and events must be the same. A request refused in its head is
// reported to no sink; one refused in its body never ends.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/h1_harness.h"

namespace outrigger::http {
namespace {

using fakes::H1ServerRig;
using std::string_literals::operator""s;

CodecLimits small_limits() {
  CodecLimits limits;
  limits.head_bytes = 1024;
  limits.head_fields = 10;
  limits.field_bytes = 200;
  limits.name_bytes = 40;
  limits.line_bytes = 300;
  limits.trailer_bytes = 100;
  limits.trailer_fields = 3;
  limits.chunk_extension_bytes = 20;
  limits.chunk_overhead = 300;
  return limits;
}

std::string run(const std::string& raw, const std::vector<std::size_t>& cuts) {
  H1ServerRig rig(small_limits());
  rig.feed(raw, cuts);
  return rig.story();
}

// Runs a message whole, split at every position and byte by byte, and returns what happened.
std::string run_all(const std::string& raw) {
  const std::string whole = run(raw, {});
  for (std::size_t cut = 1; cut < raw.size(); ++cut) {
    const std::string story = run(raw, {cut});
    EXPECT_EQ(story, whole) << "cut at " << cut << " of\n" << raw;
    if (story != whole) break;
  }
  std::vector<std::size_t> every;
  for (std::size_t cut = 1; cut < raw.size(); ++cut) every.push_back(cut);
  EXPECT_EQ(run(raw, every), whole) << "byte by byte\n" << raw;
  return whole;
}

const std::string evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";

std::string get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
std::string chunked(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}

// --- What is accepted ----------------------------------------------------------------------------

struct Good {
  std::string raw;
  std::string story;  // of the streams
};

std::string head(const std::string& lines) {
  return "head\n" + lines;
}
std::string whole(const std::string& lines) {
  return head(lines) + "end\nbody \ncomplete\n";
}
std::string with_body(const std::string& lines, const std::string& body) {
  return head(lines) + "body " + body + "\ncomplete\n";
}
const std::string post_head = "POST http://a /\n";

std::vector<Good> good_rows() {
  return {
      {get(""), whole("GET http://a /\n")},
      {"\r\n" + get(""), whole("GET http://a /\n")},
      {"GET / HTTP/1.0\r\n\r\n", whole("GET http:// /\n")},
      {"GET / HTTP/1.0\r\nHost:\r\n\r\n", whole("GET http:// /\n")},
      {"GET /a%20b?c=d&e HTTP/1.1\r\nhost: A.Test:8080\r\n\r\n",
       whole("GET http://A.Test:8080 /a%20b?c=d&e\n")},
      // The path's bytes are not checked here.
      {"GET /x/%2e%2e//%61%2F%zz\\ HTTP/1.1\r\nHost: a\r\n\r\n",
       whole("GET http://a /x/%2e%2e//%61%2F%zz\\\n")},
      {"GET /caf\xc3\xa9?\xff HTTP/1.1\r\nHost: a\r\n\r\n",
       whole("GET http://a /caf\xc3\xa9?\xff\n")},
      {"GET http://b/x HTTP/1.1\r\nHost: b\r\n\r\n", whole("GET http://b /x\n")},
      {"GET HTTP://b:80/x HTTP/1.1\r\nHost: B\r\n\r\n", whole("GET http://b:80 /x\n")},
      {"GET https://b HTTP/1.1\r\nHost: b:443\r\n\r\n", whole("GET https://b /\n")},
      {"GET http://b?x HTTP/1.1\r\nHost: b\r\n\r\n", whole("GET http://b /?x\n")},
      {"GET http://b/x HTTP/1.0\r\n\r\n", whole("GET http://b /x\n")},
      // Takes precedence over Host (RFC 9112 section 3.2.2).
      {"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", whole("GET http://b /x\n")},
      {"GET https://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", whole("GET https://a:81 /\n")},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", whole("OPTIONS http://a *\n")},
      {"OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", whole("OPTIONS http://b *\n")},
      {"OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", whole("OPTIONS http://a /x\n")},
      {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", whole("BREW http://a /\n")},
      {"!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", whole("!#$%&'*+-.^_`|~ http://a /\n")},
      {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", whole("GET http://[::1]:80 /\n")},
      // Fields.
      {get("X-A: 1\r\nx-b:2\r\nX-C: \t 3 4 \t \r\nx-d:\r\nx-e: \t\r\n"),
       whole("GET http://a /\nX-A: 1\nx-b: 2\nX-C: 3 4\nx-d: \nx-e: \n")},
      {get("x-a: \x80\xff\tb\"\r\n"), whole("GET http://a /\nx-a: \x80\xff\tb\"\n")},
      {get("Cookie: a=1\r\nCookie: b=2\r\n"), whole("GET http://a /\nCookie: a=1\nCookie: b=2\n")},
      {get("!#$%&'*+-.^_`|~9: v\r\n"), whole("GET http://a /\n!#$%&'*+-.^_`|~9: v\n")},
      // A name that some programs take for the one it resembles is dropped.
      {get("content_length: 5\r\nTransfer_Encoding: chunked\r\nx-a: 1\r\nX_Forwarded_For: 1\r\n"),
       whole("GET http://a /\nx-a: 1\n")},
      {get("x_forwarded-client_cert: URI=x\r\nx_outrigger_any: 1\r\nx_y: 2\r\n"),
       whole("GET http://a /\nx_y: 2\n")},
      // Hop-by-hop.
      {get("Connection: x-a, close\r\nX-A: 1\r\nx-b: 2\r\n"), whole("GET http://a /\nx-b: 2\n")},
      {get("X-A: 1\r\nConnection: X-a\r\nConnection: x-b\r\nx-b: 2\r\n"),
       whole("GET http://a /\n")},
      {get("Connection: x-request-id, cookie\r\nx-request-id: 1\r\nCookie: a\r\n"),
       whole("GET http://a /\nx-request-id: 1\nCookie: a\n")},
      {get("Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers;q=0.5, gzip\r\n"),
       whole("GET http://a /\n")},
      {get("TE: gzip, trailers\r\nConnection: te\r\n"), whole("GET http://a /\nte trailers\n")},
      {get("HTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"),
       whole("GET http://a /\n")},
      {get("Upgrade: websocket\r\n"), whole("GET http://a /\n")},
      {"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
       whole("GET http:// /\n")},
      {get("Expect: 100-Continue\r\n"),
       whole("GET http://a /\nexpect continue\nExpect: 100-Continue\n")},
      {"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", whole("GET http:// /\n")},
      // Bodies.
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", whole(post_head + "length 0\n")},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
       with_body(post_head + "length 5\n", "hello")},
      {"POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:005\r\n\r\nhello",
       with_body(post_head + "length 5\n", "hello")},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /",
       with_body("GET http://a /\nlength 5\n", "GET /")},
      {"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n\r\n",
       with_body("POST http:// /\nlength 2\n", "\r\n")},
      {chunked("0\r\n\r\n"), with_body(post_head, "")},
      {chunked("5\r\nhello\r\n0\r\n\r\n"), with_body(post_head, "hello")},
      {chunked("1\r\na\r\n02\r\nbc\r\n00\r\n\r\n"), with_body(post_head, "abc")},
      {chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
       with_body(post_head, "01234567890123456789")},
      {chunked("000000000000005\r\nhello\r\n000\r\n\r\n"), with_body(post_head, "hello")},
      {chunked("5;a\r\nhello\r\n0;b\r\n\r\n"), with_body(post_head, "hello")},
      {chunked("5;a=b;c=\"d\\\"\\\\;\"\r\nhello\r\n0\r\n\r\n"), with_body(post_head, "hello")},
      {chunked("5 ; a = b\t;c\r\nhello\r\n0\r\n\r\n"), with_body(post_head, "hello")},
      {chunked("2\r\n\r\n\r\n0\r\n\r\n"), with_body(post_head, "\r\n")},
      {chunked("5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
       head(post_head) + "body hello\ntrailers\nX-T: 1\ncomplete\n"},
      {chunked("0\r\nContent-Length: 5\r\nHost: b\r\nx-forwarded-for: c\r\n\r\n"),
       head(post_head) + "body \ntrailers\ncomplete\n"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding:Chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
       with_body(post_head, "")},
      // One after the other.
      {get("") + get(""), whole("GET http://a /\n") + whole("GET http://a /\n")},
      {chunked("1\r\nx\r\n0\r\n\r\n") + get("") + "\r\n" + get(""),
       with_body(post_head, "x") + whole("GET http://a /\n") + whole("GET http://a /\n")},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n" + get(""),
       with_body(post_head + "length 1\n", "x") + whole("GET http://a /\n")},
      // Declined upgrades stay HTTP.
      {get("Upgrade: WebSocket\r\nConnection: upgrade\r\n") + get(""),
       head("GET http://a /\nprotocol websocket\n") + "body \n" + whole("GET http://a /\n")},
      {get("Upgrade: h2c, foo/2\r\nConnection: keep-alive, Upgrade\r\nContent-Length: 0\r\n"),
       head("GET http://a /\nprotocol foo/2\nlength 0\n") + "body \n"},
      {get("Upgrade: tcp, FOO\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
       head("GET http://a /\nprotocol foo\n") + "body \n"},
      // An upgrade other than HTTP/1's WebSocket handshake may have a body.
      {"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: "
       "5\r\n\r\nhello",
       head("POST http://a /\nprotocol foo\nlength 5\n") + "body \n"},
      // If the listener does not allow the upgrade, it is an ordinary request (RFC 9110 section
      // 7.8).
      {get("Upgrade: foo/1.0\r\nConnection: upgrade\r\n") + get(""),
       whole("GET http://a /\n") + whole("GET http://a /\n")},
      {get("Upgrade: SPDY/3.1, TLS/1.0\r\nConnection: upgrade\r\n"), whole("GET http://a /\n")},
      {get("Upgrade: a b\r\nConnection: upgrade\r\n"), whole("GET http://a /\n")},
      {get("Upgrade: (x)\r\nConnection: upgrade\r\n"), whole("GET http://a /\n")},
      {get("Upgrade: x/\r\nConnection: upgrade\r\n"), whole("GET http://a /\n")},
      {"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: bar\r\nConnection: Upgrade\r\nContent-Length: "
       "5\r\n\r\nhello",
       with_body(post_head + "length 5\n", "hello")},
      {"DELETE / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
       head("DELETE http://a /\nprotocol websocket\n") + "body \n"},
      {"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n" + get(""),
       head("CONNECT ://b:443 \n") + "body \n"},
      {"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n", head("CONNECT ://b:443 \n") + "body \n"},
      // At the limits.
      {get(std::string(40, 'n') + ": " + std::string(160, 'v') + "\r\n"),
       whole("GET http://a /\n" + std::string(40, 'n') + ": " + std::string(160, 'v') + "\n")},
      {get("a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n"),
       whole("GET http://a /\na: \nb: \nc: \nd: \ne: \nf: \ng: \nh: \ni: \n")},
      {"GET /" + std::string(300 - 14, 'p') + " HTTP/1.1\r\nHost: a\r\n\r\n",
       whole("GET http://a /" + std::string(300 - 14, 'p') + "\n")},
      {chunked("1;" + std::string(20, 'e') + "\r\nx\r\n0\r\n\r\n"), with_body(post_head, "x")},
  };
}

TEST(H1RequestsTest, AcceptsTheGood) {
  for (const Good& row : good_rows()) {
    const std::string story = run_all(row.raw);
    EXPECT_EQ(story.substr(0, story.find("wrote")), row.story) << row.raw;
    EXPECT_EQ(story.find("400"), story.npos) << row.raw;
    EXPECT_EQ(story.find("MISUSE"), story.npos) << row.raw;
  }
}

// --- What is refused in the head -----------------------------------------------------------------

struct Bad {
  std::string raw;
  int status = 400;
};

void expect_refused(const std::string& raw, int status) {
  const std::string story = run_all(raw + evil);
  EXPECT_EQ(run_all(raw), story) << "nothing behind it\n" << raw;
  EXPECT_TRUE(story.starts_with("wrote HTTP/1.1 " + std::to_string(status) + " "))
      << raw << "\n---\n"
      << story;
  EXPECT_NE(story.find("connection: close\r\n"), story.npos);
  EXPECT_TRUE(story.ends_with("finished\n")) << story;
}

std::vector<Bad> bad_start_lines() {
  const std::string host = "\r\nHost: a\r\n\r\n";
  return {
      {"GET /" + host},
      {"GET" + host},
      {"GET / " + host},
      {"GET  / HTTP/1.1" + host},
      {"GET /  HTTP/1.1" + host},
      {"GET / HTTP/1.1 " + host},
      {" GET / HTTP/1.1" + host},
      {"GET\t/ HTTP/1.1" + host},
      {"GET /\tHTTP/1.1" + host},
      {"GET / x HTTP/1.1" + host},
      {"GET /\x0b HTTP/1.1" + host},
      {"G(T / HTTP/1.1" + host},
      {"GE\x80T / HTTP/1.1" + host},
      {"GET / http/1.1" + host},
      {"GET / HTTP/1" + host},
      {"GET / HTTP/1.10" + host},
      {"GET / HTTP/01.1" + host},
      {"GET / HTTP/1.1x" + host},
      {"GET / HTTP/+1.1" + host},
      {"GET / HTTP/1,1" + host},
      {"GET / HTTP /1.1" + host},
      {"GET / HTTPS/1.1" + host},
      {"GET / RTSP/1.0" + host},
      {"GET / ICE/1.0" + host},
      {"SOURCE / ICE/1.0" + host},
      {"GET / HTTP/1.1\nHost: a\r\n\r\n"},
      {"GET / HTTP/1.1\rHost: a\r\n\r\n"},
      {"GET / HTTP/1.1\n\n"},
      {"\n" + get("")},
      {"\r\n\r\n" + get("")},
      {"\r" + get("")},
      {"\r\n\x07"s},
      {"\0"s + get("")},
      {"GET /\0 HTTP/1.1"s + host},
      {"GET / HTTP/1.1\0"s + host},
      {"GET / HTTP/2.0" + host, 505},
      {"GET / HTTP/1.2" + host, 505},
      {"GET / HTTP/0.9" + host, 505},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / HTTP/9.9" + host, 505},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s},
      {"SSH-2.0-OpenSSH_9.2\r\n"},
      {"GET /" + std::string(300, 'p') + " HTTP/1.1" + host, 431},
      {std::string(400, 'G') + " / HTTP/1.1" + host, 431},
  };
}

std::vector<Bad> bad_targets() {
  const auto target = [](const std::string& t, const std::string& host = "a") {
    return Bad{"GET " + t + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"};
  };
  return {
      target("a"),
      target("*"),
      target("a:80"),
      target("/#f"),
      target("/a#"),
      target("/\x7f"),
      target("?a"),
      target("."),
      target("../a"),
      target("http:/a/", "a"),
      target("http:///", "a"),
      target("http://", "a"),
      target("http://u@a/", "a"),
      target("http://u:p@a/", "a"),
      target("http://a,b/", "a"),
      target("ftp://a/", "a"),
      target("ws://a/", "a"),
      target("http://a\\b/", "a"),
      target("http://a\xc3\xa9/", "a"),
      target("http://a:x/", "a"),
      target("//a/ b", "a"),
      target("httpx://a/", "a"),
      target("http//a/", "a"),
      target("http://[::1/", "[::1]"),
      target("http://a/#x", "a"),
      target("/a\"b c"),
      target("javascript:alert(1)"),
      {"POST * HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n"},
      {"CONNECT u@a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"},
      {"CONNECT a:443/ HTTP/1.1\r\nHost: a:443\r\n\r\n"},
      {"CONNECT http://a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"},
      {"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"},
      {"CONNECT a:443 HTTP/1.1\r\n\r\n"},
      {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nhello"},
      {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
  };
}

std::vector<Bad> bad_hosts() {
  const auto hosts = [](const std::string& lines) {
    return Bad{"GET / HTTP/1.1\r\n" + lines + "\r\n"};
  };
  return {
      hosts(""),
      hosts("Host:\r\n"),
      hosts("Host: \r\n"),
      hosts("Host: a\r\nHost: a\r\n"),
      hosts("Host: a\r\nx: y\r\nhost: b\r\n"),
      hosts("Host: a, b\r\n"),
      hosts("Host: a b\r\n"),
      hosts("Host: u@a\r\n"),
      hosts("Host: a/b\r\n"),
      hosts("Host: http://a\r\n"),
      hosts("Host: a:b\r\n"),
      hosts("Host: a:80:80\r\n"),
      hosts("Host: a:99999\r\n"),
      hosts("Host: :80\r\n"),
      hosts("Host: [::1\r\n"),
      hosts("Host: a\\b\r\n"),
      hosts("Host: a?b\r\n"),
      hosts("Host: a#b\r\n"),
      hosts("Host: \xc3\xa9\r\n"),
      hosts("Host: a\tb\r\n"),
      hosts("Host: a;\x7f\r\n"),
      hosts("Host : a\r\n"),
      hosts("Host: a%00\r\n"),
      hosts("Host: a\"b\r\n"),
      hosts("Host: <a>\r\n"),
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"},
      {"GET / HTTP/1.0\r\nHost: a b\r\n\r\n"},
      {"GET / HTTP/1.0\r\nHost:\r\nHost: a\r\n\r\n"},
      {"GET http://a/ HTTP/1.1\r\n\r\n"},
      {"GET http://a/ HTTP/1.1\r\nHost: a@b\r\n\r\n"},
  };
}

std::vector<Bad> bad_fields() {
  return {
      {get("x-a : 1\r\n")},
      {get("x-a\t: 1\r\n")},
      {get(": 1\r\n")},
      {get("x a: 1\r\n")},
      {get("x-a\r\n")},
      {get("x-a: 1\r\n 2\r\n")},
      {get("x-a: 1\r\n\t2\r\n")},
      {get(" x-a: 1\r\n")},
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
      {"GET / HTTP/1.1\r\n\tx: y\r\nHost: a\r\n\r\n"},
      {get("x-a: 1\n")},
      {get("x-a: 1\nx-b: 2\r\n")},
      {get("x-a: 1\rx-b: 2\r\n")},
      {get("x-a: 1\r\r\n")},
      {get("x-a: \0\r\n"s)},
      {get("x-a: a\0b\r\n"s)},
      {get("x\0a: b\r\n"s)},
      {get("x-a: \x01\r\n")},
      {get("x-a: \x08\r\n")},
      {get("x-a: \x0b\r\n")},
      {get("x-a: \x0c\r\n")},
      {get("x-a: \x1b\r\n")},
      {get("x-a: \x7f\r\n")},
      {get("x-\x80: a\r\n")},
      {get("x(a): b\r\n")},
      {get("x,a: b\r\n")},
      {get("x/a: b\r\n")},
      {get("x;a: b\r\n")},
      {get("x=a: b\r\n")},
      {get("x@a: b\r\n")},
      {get("x[a]: b\r\n")},
      {get("x\"a\": b\r\n")},
      {get("x{a}: b\r\n")},
      {get("x\\a: b\r\n")},
      {get("x?a: b\r\n")},
      {get("<x>: b\r\n")},
      {"GET / HTTP/1.1\r\nHost: a\r\n\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\n\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\rGET /evil"},
      {get(std::string(41, 'n') + ": v\r\n"), 431},
      {get("x-a: " + std::string(200, 'v') + "\r\n"), 431},
      {get(std::string(300, 'n') + "\r\n"), 431},
      {get("a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\n"), 431},
      {get("a: " + std::string(190, 'v') + "\r\nb: " + std::string(190, 'v') +
           "\r\nc: " + std::string(190, 'v') + "\r\nd: " + std::string(190, 'v') +
           "\r\ne: " + std::string(190, 'v') + "\r\nf: " + std::string(190, 'v') + "\r\n"),
       431},
      {get("x-a:" + std::string(1100, ' ') + "b\r\n"), 431},
      {get("Connection: " +
           [] {
             std::string list;
             for (int i = 0; i < 33; ++i) list += "z" + std::to_string(i) + ",";
             return list;
           }() +
           "\r\n"),
       431},
  };
}

std::vector<Bad> bad_framing() {
  const auto post = [](const std::string& fields, const std::string& version = "1.1") {
    return Bad{"POST / HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\n"};
  };
  const std::string cl = "Content-Length: 5\r\n";
  const std::string te = "Transfer-Encoding: chunked\r\n";
  std::vector<Bad> rows = {
      post(cl + te),
      post(te + cl),
      post(te + "Content-Length: 0\r\n"),
      post(cl + cl),
      post(cl + "Content-Length: 6\r\n"),
      post(te + te),
      post(te + cl, "1.0"),
      post(te, "1.0"),
      post(te + "Transfer-Encoding: identity\r\n"),
      post("Transfer-Encoding: identity\r\n" + te),
      post("Transfer-Encoding : chunked\r\n"),
      post("Content-Length : 5\r\n"),
      post("Transfer-Encoding\t: chunked\r\n"),
      post(" Transfer-Encoding: chunked\r\n"),
      post("X: y\r\n Transfer-Encoding: chunked\r\n"),
      post("X: y\nTransfer-Encoding: chunked\r\n"),
      post("X: y\rTransfer-Encoding: chunked\r\n"),
      post("\x01Transfer-Encoding: chunked\r\n"),
      post("Transfer-Encoding\0: chunked\r\n"s),
      post("Transfer-Encoding: chunked\0\r\n"s),
      post("Transfer-Encoding:\x0b"
           "chunked\r\n"),
      post("Transfer-Encoding: chunked\x0c\r\n"),
      post("Content-Length: 5\r\n 6\r\n"),
      post("Content-Length:\r\n 5\r\n"),
      post("Transfer-Encoding:\r\n chunked\r\n"),
      {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + cl + "\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + te + "\r\n"},
      {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\nConnection: upgrade\r\n" + te + "\r\n"},
      {get("Expect: 200-ok\r\n"), 417},
      {get("Expect: 100-continue, x\r\n"), 417},
      {get("Expect: 100-continue\r\nExpect: y\r\n"), 417},
      {get("Expect: 100-continue=1\r\n"), 417},
      {"GET / HTTP/1.0\r\nExpect: x\r\n\r\n", 417},
  };
  for (const char* length : {"",
                             "+5",
                             "-5",
                             "-0",
                             "0x5",
                             "0x",
                             "5 5",
                             "5,5",
                             "5, 5",
                             "5;",
                             "5.0",
                             "5e0",
                             "five",
                             "\"5\"",
                             "5 ,",
                             ", 5",
                             "1_0",
                             "5\t6",
                             "٥",
                             "9223372036854775808",
                             "18446744073709551615",
                             "18446744073709551616",
                             "99999999999999999999999",
                             "0000000000000000005",
                             "5/",
                             "(5)",
                             "5\x80",
                             "%35",
                             "5\\",
                             "NaN",
                             "inf"}) {
    rows.push_back(post("Content-Length: "s + length + "\r\n"));
  }
  for (const char* coding : {"",
                             "identity",
                             "gzip",
                             "gzip, chunked",
                             "chunked, gzip",
                             "chunked, chunked",
                             "chunked,",
                             ",chunked",
                             ", chunked",
                             "chunked;q=1",
                             "chunked; x",
                             "\"chunked\"",
                             "'chunked'",
                             "chunke",
                             "chunkedd",
                             "xchunked",
                             "chunked x",
                             "x chunked",
                             "chun\tked",
                             "c hunked",
                             "deflate",
                             "compress",
                             "chunked\x80",
                             "\x80"
                             "chunked",
                             "chunked,identity",
                             "identity, chunked",
                             "cow",
                             "null",
                             "0",
                             "chunked/",
                             "chunked=1",
                             "[chunked]",
                             "ch\xc3\xbcnked",
                             "trailers"}) {
    rows.push_back(post("Transfer-Encoding: "s + coding + "\r\n"));
    rows.push_back(post("Transfer-Encoding: "s + coding + "\r\n" + cl));
  }
  return rows;
}

TEST(H1RequestsTest, RefusesStartLines) {
  for (const Bad& row : bad_start_lines()) expect_refused(row.raw, row.status);
}
TEST(H1RequestsTest, RefusesTargets) {
  for (const Bad& row : bad_targets()) expect_refused(row.raw, row.status);
}
TEST(H1RequestsTest, RefusesHosts) {
  for (const Bad& row : bad_hosts()) expect_refused(row.raw, row.status);
}
TEST(H1RequestsTest, RefusesFields) {
  for (const Bad& row : bad_fields()) expect_refused(row.raw, row.status);
}
TEST(H1RequestsTest, RefusesFraming) {
  for (const Bad& row : bad_framing()) expect_refused(row.raw, row.status);
}
TEST(H1RequestsTest, TheTableIsLarge) {
  const std::size_t rows = good_rows().size() + bad_start_lines().size() + bad_targets().size() +
                           bad_hosts().size() + bad_fields().size() + bad_framing().size();
  EXPECT_GE(rows, 250U);
}

// A bad second request does not affect the first, nor the response to the first.
TEST(H1RequestsTest, AGoodRequestBeforeABadOne) {
  for (const Bad& row : bad_framing()) {
    const std::string story = run_all(get("") + row.raw + evil);
    EXPECT_TRUE(story.starts_with(whole("GET http://a /\n") + "wrote HTTP/1.1 404 ")) << story;
    EXPECT_EQ(story.find("evil"), story.npos);
    EXPECT_NE(story.find("HTTP/1.1 " + std::to_string(row.status) + " "), story.npos) << story;
  }
}

// --- What is refused in the body -----------------------------------------------------------------

struct BadBody {
  std::string body;
  std::string delivered;  // before the error
  int status = 400;
};

std::vector<BadBody> bad_bodies() {
  std::vector<BadBody> rows = {
      {"\r\n", ""},
      {"\n", ""},
      {" 5\r\nhello", ""},
      {"5 \r\nhello", ""},
      {"5\t\r\nhello", ""},
      {"5\nhello", ""},
      {"5\rhello", ""},
      {"5\r\r\nhello", ""},
      {"5\n\rhello", ""},
      {"0x5\r\nhello", ""},
      {"x5\r\nhello", ""},
      {"-5\r\nhello", ""},
      {"+5\r\nhello", ""},
      {"5_0\r\nhello", ""},
      {"5.0\r\nhello", ""},
      {"5,5\r\nhello", ""},
      {"5h\r\nhello", ""},
      {"g\r\nhello", ""},
      {"\"5\"\r\nhello", ""},
      {"0000000000000005\r\nhello", ""},
      {"1000000000000000\r\nhello", ""},
      {"ffffffffffffffff\r\nhello", ""},
      {"10000000000000005\r\nhello", ""},
      {"5\0\r\nhello"s, ""},
      {"\0"
       "5\r\nhello"s,
       ""},
      {"5\x80\r\nhello", ""},
      {"5\x0b\r\nhello", ""},
      {"5\x0c\r\nhello", ""},
      {";a\r\nhello", ""},
      {"5;\r\nhello", ""},
      {"5; \r\nhello", ""},
      {"5;a=\r\nhello", ""},
      {"5;=b\r\nhello", ""},
      {"5;a b\r\nhello", ""},
      {"5;a \r\nhello", ""},
      {"5;a=b \r\nhello", ""},
      {"5;a=b c\r\nhello", ""},
      {"5;a=\"b\r\nhello", ""},
      {"5;a=\"b\"c\r\nhello", ""},
      {"5;a=\"\n\"\r\nhello", ""},
      {"5;a=\"\\\n\"\r\nhello", ""},
      {"5;a=\"\r\"\r\nhello", ""},
      {"5;a\nhello", ""},
      {"5;a\rhello", ""},
      {"5;a=b\nhello", ""},
      {"5;a=\"b\"\nhello", ""},
      {"5;\nhello", ""},
      {"5;a,b\r\nhello", ""},
      {"5;a\0\r\nhello"s, ""},
      {"5;a=\"\0\"\r\nhello"s, ""},
      {"5;(a)\r\nhello", ""},
      {"5;a=(b)\r\nhello", ""},
      {"5;a==b\r\nhello", ""},
      {"5;a=b=c\r\nhello", ""},
      {"5;a=\"b\" \r\nhello", ""},
      {"5 a\r\nhello", ""},
      {"5 =a\r\nhello", ""},
      {"5;\x80\r\nhello", ""},
      {"5;a=\x80\r\nhello", ""},
      {"5;" + std::string(21, 'e') + "\r\nhello", ""},
      {"5" + std::string(21, ' ') + ";a\r\nhello", ""},
      {"5;a=\"" + std::string(30, 'e') + "\"\r\nhello", ""},
      {"5\r\nhello0\r\n\r\n", "hello"},
      {"5\r\nhello\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r0\r\n\r\n", "hello"},
      {"5\r\nhello!\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\n\n0\r\n\r\n", "hello"},
      {"5\r\nhello \r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n0\n\n", "hello"},
      {"5\r\nhello\r\n0\r\r\n", "hello"},
      {"5\r\nhello\r\n0 \r\n\r\n", "hello"},
      {"5\r\nhello\r\n-0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n0\r\n\n", "hello"},
      {"5\r\nhello\r\n0\r\n\rx", "hello"},
      // Trailers.
      {"0\r\nx-a : 1\r\n\r\n", ""},
      {"0\r\n x-a: 1\r\n\r\n", ""},
      {"0\r\nx-a\r\n\r\n", ""},
      {"0\r\nx-a: 1\n\r\n", ""},
      {"0\r\nx-a: 1\r\n 2\r\n\r\n", ""},
      {"0\r\n: 1\r\n\r\n", ""},
      {"0\r\nx-a: \0\r\n\r\n"s, ""},
      {"0\r\nx a: 1\r\n\r\n", ""},
      {"0\r\nGET / HTTP/1.1\r\n\r\n", ""},
      {"1\r\nx\r\n0\r\nx-a: \x7f\r\n\r\n", "x"},
      {"0\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n", "", 431},
      {"0\r\na: " + std::string(120, 'v') + "\r\n\r\n", "", 431},
      {"0\r\n" + std::string(41, 'n') + ": v\r\n\r\n", "", 431},
  };
  return rows;
}

TEST(H1RequestsTest, RefusesBodies) {
  for (const BadBody& row : bad_bodies()) {
    const std::string story = run_all(chunked(row.body + evil));
    const std::string reason = row.status == 431 ? "too_large" : "protocol_error";
    EXPECT_TRUE(story.starts_with(head(post_head) + "body " + row.delivered + "\nreset " + reason +
                                  "\nwrote HTTP/1.1 " + std::to_string(row.status) + " "))
        << row.body << "\n---\n"
        << story;
    EXPECT_TRUE(story.ends_with("finished\n")) << story;
    EXPECT_EQ(story.find("complete"), story.npos);
  }
}

// More framing than data: 300 bytes and a tenth of the data are allowed here.
TEST(H1RequestsTest, RefusesChunkOverhead) {
  std::string body;
  for (int i = 0; i < 200; ++i) body += "1\r\nx\r\n";
  const std::string story = run_all(chunked(body + "0\r\n\r\n"));
  EXPECT_NE(story.find("reset protocol_error"), story.npos);
  EXPECT_NE(story.find("400"), story.npos);

  // The same framing around more data is fine.
  std::string fat;
  for (int i = 0; i < 60; ++i) fat += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_NE(run(chunked(fat + "0\r\n\r\n"), {}).find("complete"), std::string::npos);
}

// The defaults allow fewer than a million one-byte chunks.
TEST(H1RequestsTest, AMillionOneByteChunks) {
  H1ServerRig rig;
  std::string body;
  for (int i = 0; i < 10'000; ++i) body += "1\r\nx\r\n";
  rig.feeder.feed(chunked(""));
  for (int i = 0; i < 100 && !rig.wire.over(); ++i) rig.feeder.feed(body);
  EXPECT_TRUE(rig.wire.finished);
  EXPECT_TRUE(rig.server.last().was_reset);
  EXPECT_LT(rig.server.last().body.size(), 30'000U);
  EXPECT_EQ(rig.counters.malformed.value(), 1U);
}

// A truncated message never looks complete.
TEST(H1RequestsTest, ACutMessageIsNotComplete) {
  const std::string bodies[] = {
      chunked("5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"),
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  };
  for (const std::string& raw : bodies) {
    for (std::size_t cut = 0; cut < raw.size(); ++cut) {
      for (const bool lost : {false, true}) {
        H1ServerRig rig(small_limits());
        rig.feeder.feed(raw.substr(0, cut));
        lost ? rig.codec.connection_lost(true) : rig.feeder.end();
        for (const auto& sink : rig.server.sinks) {
          EXPECT_FALSE(sink->ended) << cut;
          EXPECT_TRUE(sink->was_reset) << cut;
          EXPECT_EQ(sink->reset, StreamEnd::cancelled);
        }
        EXPECT_EQ(rig.codec.open_streams(), 0U);
        EXPECT_EQ(rig.wire.over(), !lost);
      }
    }
  }
}

}  // namespace
}  // namespace outrigger::http
