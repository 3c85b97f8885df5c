#include "http/h1_body.h"

#include <algorithm>

#include "http/h1_encoder.h"

namespace outrigger::http {

void H1BodyReader::begin(const H1Framing& framing) {
  body_ = framing.body;
  left_ = framing.length;
  if (body_ == H1Body::chunked) {
    chunks_.restart();
    in_trailers_ = false;
  }
}

H1BodyReader::Step H1BodyReader::next(std::string_view& in) {
  if (body_ == H1Body::chunked) return next_chunked(in);
  if (in.empty()) return {};
  std::string_view data = in;
  if (body_ == H1Body::length) {
    data = in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size())));
    left_ -= data.size();
  }
  in.remove_prefix(data.size());
  return {Step::Kind::data, data, body_ == H1Body::length && left_ == 0};
}

H1BodyReader::Step H1BodyReader::next_chunked(std::string_view& in) {
  if (!in_trailers_) {
    std::string_view data;
    switch (chunks_.next(in, data)) {
      case ChunkDecoder::Step::need_more:
        return {};
      case ChunkDecoder::Step::data:
        return {Step::Kind::data, data, false};
      case ChunkDecoder::Step::malformed:
        return {Step::Kind::malformed, {}, false};
      case ChunkDecoder::Step::last:
        in_trailers_ = true;
        parser_.restart(H1Parser::Kind::trailers);
        break;
    }
  }
  switch (parser_.feed(in)) {
    case H1Verdict::need_more:
      return {};
    case H1Verdict::complete:
      break;
    case H1Verdict::too_large:
      return {Step::Kind::too_large, {}, false};
    default:
      return {Step::Kind::malformed, {}, false};
  }
  const std::string_view section = in.substr(0, parser_.size());
  in.remove_prefix(section.size());
  const bool any = !parser_.lines().empty();
  return {any ? Step::Kind::trailers : Step::Kind::data,
          section.substr(0, any ? section.size() : 0), true};
}

void H1BodyWriter::begin(H1Body body, std::uint64_t length, bool last) {
  body_ = body;
  left_ = length;
  last_ = last;
}

void H1BodyWriter::write(std::string_view bytes) {
  if (bytes.size() < copy_max) {
    wire_.output().append(bytes);
  } else {
    wire_.write_through(bytes);
  }
}

bool H1BodyWriter::data(std::string_view bytes, bool end) {
  if (body_ == H1Body::length) {
    if (bytes.size() > left_ || (end && bytes.size() != left_)) return false;
    left_ -= bytes.size();
  }
  if (body_ != H1Body::none && !bytes.empty()) {
    if (body_ == H1Body::chunked) {
      char* const to = wire_.output().prepare(chunk_size_max);
      wire_.output().commit(write_chunk_size(to, bytes.size()));
    }
    write(bytes);
    if (body_ == H1Body::chunked) wire_.output().append("\r\n");
  }
  if (end) {
    if (body_ == H1Body::chunked) wire_.output().append("0\r\n\r\n");
    send();
  } else {
    wire_.flush_soon();
  }
  return true;
}

bool H1BodyWriter::trailers(const Fields& trailers) {
  if (body_ == H1Body::length && left_ != 0) return false;
  if (body_ == H1Body::chunked && !write_last_chunk(wire_.output(), trailers)) return false;
  send();
  return true;
}

void H1BodyWriter::send() {
  if (last_) return;
  if (held_) {
    wanted_ = true;
  } else {
    wire_.flush();
  }
}

void H1BodyWriter::release(bool flush) {
  held_ = false;
  if (std::exchange(wanted_, false) && flush) wire_.flush();
}

}  // namespace outrigger::http
