#pragma once

// Heads between HTTP/2's field blocks and the normal form of head.h. H2HeadReader takes the fields
// of one block as nghttp2 decodes them, checks and charges each, and puts what it keeps into an
// arena; H2HeadWriter makes the list that nghttp2 encodes. Both belong to a session; one thread.
//
// A reader is used block by block: begin…(), field() for each field, finish(). After the first
// fault it keeps nothing more but goes on charging, so that the block is decoded to its end and the
// compression state stays in step.

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "http/codec.h"
#include "http/head.h"

namespace outrigger::http {

class H2HeadReader {
 public:
  enum class Verdict : std::uint8_t {
    ok,
    malformed,        // RFC 9113 section 8.1.1
    too_large,        // beyond the limits: 431
    bad_expectation,  // an Expect that nobody knows: 417
    flood,            // far beyond the limits: the end of the connection
  };

  explicit H2HeadReader(const CodecLimits& limits) : limits_(limits) {}

  void begin_request(Head& head) { begin(Kind::request, &head.fields, &head, head.arena); }
  void begin_response(Head& head) { begin(Kind::response, &head.fields, &head, head.arena); }
  void begin_trailers(Fields& fields, Arena& arena) {
    begin(Kind::trailers, &fields, nullptr, &arena);
  }
  // A block for nobody: only charged.
  void begin_discarding() { begin(Kind::none, nullptr, nullptr, nullptr); }
  void field(std::string_view name, std::string_view value);
  // So far; flood is final.
  Verdict verdict() const { return verdict_; }
  // The block is whole. Completes the head and says whether it may be used.
  Verdict finish();

 private:
  enum class Kind : std::uint8_t { none, request, response, trailers };

  void begin(Kind kind, Fields* fields, Head* head, Arena* arena);
  void fault(Verdict verdict) {
    if (verdict_ == Verdict::ok) verdict_ = verdict;
  }
  bool charge(std::size_t name, std::size_t value, bool cookie);
  void pseudo(std::string_view name, std::string_view value);
  void request_pseudo(std::string_view name, std::string_view value);
  void regular(std::string_view name, std::string_view value);
  void keep(std::string_view name, std::string_view value, Known known);
  void take_host(std::string_view value);
  void take_length(std::string_view value);
  void take_te(std::string_view value);
  void finish_request();
  void finish_response();
  void join_cookies();

  const CodecLimits& limits_;
  Kind kind_ = Kind::none;
  Verdict verdict_ = Verdict::ok;
  bool regular_seen_ = false;
  bool te_seen_ = false;
  bool length_seen_ = false;
  Head* head_ = nullptr;
  Fields* fields_ = nullptr;
  Arena* arena_ = nullptr;
  std::string_view host_;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;
  std::size_t crumbs_ = 0;
};

// The list lives as long as the writer: in an arena on its own.
class H2HeadWriter {
 public:
  explicit H2HeadWriter(BlockPool& blocks) : arena_(blocks) {}

  std::span<const nghttp2_nv> request(const Head& head);
  // What the request was: towards an extended CONNECT 101 becomes 200, and a tunnel has no length.
  enum class Request : std::uint8_t { plain, connect, upgrade };
  std::span<const nghttp2_nv> response(const Head& head, Request request);
  std::span<const nghttp2_nv> status_only(int status);
  std::span<const nghttp2_nv> trailers(const Fields& fields);

 private:
  void reserve(std::size_t count);
  // `fixed`: the name is a literal in lower case.
  void add(std::string_view name, std::string_view value, bool fixed, bool index = true);
  void add_status(int status);
  void add_length(std::uint64_t length);
  void add_fields(const Fields& fields, bool trailers);
  std::span<const nghttp2_nv> list() const { return {list_, size_}; }

  Arena arena_;
  nghttp2_nv* list_ = nullptr;
  std::size_t size_ = 0;
  std::array<char, 4> status_{};
  std::array<char, 20> length_{};
};

}  // namespace outrigger::http
