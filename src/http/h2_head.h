#pragma once

// From HTTP/2's field blocks to the normal form of head.h: takes the fields of one block as they
// are decoded, checks and charges each, and puts what it keeps into an arena. Belongs to a session;
// one thread. The other direction is h2_head_writer.h.
//
// A reader is used block by block: begin…(), field() for each field, finish(). After the first
// fault it keeps nothing more (except a request's content-type, for our response) and goes on
// charging, so that the block is decoded to its end and the compression state stays in sync.

#include <cstddef>
#include <cstdint>
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
    bad_expectation,  // an unknown Expect: 417
    flood,            // far beyond the limits: ends the connection
  };

  explicit H2HeadReader(const CodecLimits& limits) : limits_(limits) {}

  void begin_request(Head& head) { begin(Kind::request, &head.fields, &head, head.arena); }
  void begin_response(Head& head) { begin(Kind::response, &head.fields, &head, head.arena); }
  void begin_trailers(Fields& fields, Arena& arena) {
    begin(Kind::trailers, &fields, nullptr, &arena);
  }
  // A block that nobody needs: only charged.
  void begin_discarding() { begin(Kind::none, nullptr, nullptr, nullptr); }
  void field(std::string_view name, std::string_view value);
  // The verdict so far; flood is final.
  Verdict verdict() const { return verdict_; }
  // Fields of this block that were dropped: see is_twin().
  std::uint32_t twins() const { return twins_; }
  // The block is complete. Completes the head and says whether it may be used.
  Verdict finish();

 private:
  enum class Kind : std::uint8_t { none, request, response, trailers };

  void begin(Kind kind, Fields* fields, Head* head, Arena* arena);
  void fault(Verdict verdict) {
    if (verdict_ == Verdict::ok) verdict_ = verdict;
  }
  bool charge(std::string_view name, std::size_t value);
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
  std::uint32_t twins_ = 0;
};

}  // namespace outrigger::http
