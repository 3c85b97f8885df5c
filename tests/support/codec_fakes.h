#pragma once

// The world around a codec, in memory: a wire that keeps what was written, a feeder that plays the
// connection's input side, and sinks that write down what they are told. For HTTP/1 and HTTP/2
// alike; header only and without gtest, so that fuzzers and benchmarks can use it too.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/codec.h"
#include "http/validation.h"

namespace outrigger::http::fakes {

// Keeps everything that left in `sent`, and each single write in `written`.
class FakeWire final : public Wire {
 public:
  explicit FakeWire(net::BufferPool& pool) : output_(pool) {}

  net::Buffer& output() override { return output_; }
  void flush() override { write({}); }
  void flush_soon() override { flush_wanted = true; }
  void want_write() override { produce_wanted = true; }
  void write_through(std::string_view bytes) override { write(bytes); }
  std::uint32_t writes() const override { return write_count; }
  std::size_t unsent() const override { return output_.size() + stuck.size(); }
  bool above_high() const override { return unsent() > high; }
  void pause_reading(bool p) override { paused = p; }
  void redeliver() override { redeliver_wanted = true; }
  void finish() override {
    write({});
    finished = true;
  }
  std::string_view date() override { return "Sun, 06 Nov 1994 08:49:37 GMT"; }
  void finish_at_once() override {
    finish();
    at_once = true;
  }
  void end_output() override {
    write({});
    output_ended = true;
  }
  void abort(bool reset) override {
    aborted = true;
    was_reset = reset;
  }

  // What the connection does at the end of a turn.
  void end_turn() {
    if (flush_wanted) write({});
    flush_wanted = false;
  }
  // The kernel takes bytes again.
  void unblock() {
    blocked = false;
    write({});
  }
  // All that has left since the last call, with what flush_soon() promised.
  std::string take() {
    end_turn();
    std::string all;
    all.swap(sent);
    written.clear();
    return all;
  }
  // No feed() follows.
  bool over() const { return finished || aborted; }

  std::string sent;
  std::vector<std::string> written;  // each single write
  std::uint32_t write_count = 0;
  std::string stuck;      // written while blocked
  bool blocked = false;   // the kernel takes nothing
  bool recording = true;  // false: bytes are only counted, nothing is allocated
  std::uint64_t bytes_sent = 0;
  std::size_t high = 256 * 1024;
  bool flush_wanted = false;
  bool produce_wanted = false;
  bool paused = false;
  bool redeliver_wanted = false;
  bool finished = false;
  bool at_once = false;  // finished without lingering
  bool output_ended = false;
  bool aborted = false;
  bool was_reset = false;

 private:
  void write(std::string_view extra) {
    flush_wanted = false;
    ++write_count;
    if (!recording) {
      bytes_sent += output_.size() + extra.size();
      output_.clear();
      return;
    }
    std::string bytes = std::move(stuck);
    stuck.clear();
    if (!output_.empty()) bytes += output_.view();
    bytes += extra;
    output_.clear();
    if (blocked) {
      stuck = std::move(bytes);
    } else if (!bytes.empty()) {
      bytes_sent += bytes.size();
      sent += bytes;
      written.push_back(std::move(bytes));
    }
  }

  net::Buffer output_;
};

// Plays the input side of a connection: keeps what the codec did not consume, feeds it again with
// more behind it or after redeliver(). Each feed gets memory of exactly its size, so that a
// sanitizer sees a read beyond it.
class Feeder {
 public:
  Feeder(Codec& codec, FakeWire& wire) : codec_(codec), wire_(wire) {}

  void feed(std::string_view bytes) {
    if (wire_.over()) return;
    kept_ += bytes;
    deliver();
    settle();
  }
  void end() {
    if (!wire_.over()) codec_.input_ended();
    settle();
  }
  // Ends the turn: what the codec asked for with redeliver(), want_write() and flush_soon().
  void settle() {
    while ((wire_.redeliver_wanted || wire_.produce_wanted) && !wire_.over()) {
      if (wire_.redeliver_wanted) deliver();
      if (!wire_.produce_wanted || wire_.over()) continue;
      wire_.produce_wanted = false;
      wire_.flush_wanted = true;
      codec_.produce();
    }
    wire_.end_turn();
  }

  const std::string& kept() const { return kept_; }
  std::uint64_t now_ms = 1'000'000;

 private:
  void deliver() {
    wire_.redeliver_wanted = false;
    const std::unique_ptr<char[]> exact(new char[kept_.size()]);
    kept_.copy(exact.get(), kept_.size());
    const std::size_t consumed = codec_.feed({exact.get(), kept_.size()}, now_ms);
    kept_.erase(0, consumed);
  }

  Codec& codec_;
  FakeWire& wire_;
  std::string kept_;
};

// "x-a: 1\n" for each field.
inline std::string render(const Fields& fields) {
  std::string text;
  for (const Field& field : fields) {
    text.append(field.name).append(": ").append(field.value).append("\n");
  }
  return text;
}

// A head as text, one member a line; what is absent is left out.
inline std::string render(const Head& head) {
  std::string text;
  if (head.is_request()) {
    text.append(head.method_text).append(" ").append(head.scheme).append("://");
    text.append(head.authority).append(" ").append(head.path).append("\n");
    if (!head.protocol.empty()) text.append("protocol ").append(head.protocol).append("\n");
    if (head.te_trailers) text += "te trailers\n";
    if (head.expect_continue) text += "expect continue\n";
  } else {
    text += "status " + std::to_string(head.status) + "\n";
    if (!head.protocol.empty()) text.append("protocol ").append(head.protocol).append("\n");
  }
  if (head.content_length) text += "length " + std::to_string(*head.content_length) + "\n";
  return text + render(head.fields);
}

// Writes down what one stream tells. Checks the order of the calls as it goes: `misuse` names the
// first call that should not have come.
class RecordingSink : public StreamSink {
 public:
  virtual ~RecordingSink() = default;
  void on_head(Head& h, bool end) override {
    if (heads++ > 0 || over()) broken("on_head");
    look_at(h.fields);
    head = render(h);
    version = h.version;
    status = h.status;
    ended = end;
    log += "head\n" + head + (end ? "end\n" : "");
    if (head_hook) head_hook(h, end);
  }
  void on_interim(Head& h) override {
    if (heads > 0 || over()) broken("on_interim");
    look_at(h.fields);
    interims.push_back(render(h));
    log += "interim\n" + interims.back();
  }
  void on_data(std::string_view bytes, bool end) override {
    if (heads == 0 || over()) broken("on_data");
    if (bytes.empty() && !end) broken("on_data of nothing");
    body += bytes;
    ended = end;
    if (data_hook) data_hook(bytes, end);
  }
  void on_trailers(Fields& t) override {
    if (heads == 0 || over()) broken("on_trailers");
    look_at(t);
    trailers = render(t);
    has_trailers = true;
    ended = true;
    if (trailers_hook) trailers_hook(t);
  }
  void on_reset(StreamEnd reason) override {
    if (was_reset) broken("on_reset");
    was_reset = true;
    reset = reason;
    if (reset_hook) reset_hook(reason);
  }
  void on_drained() override { ++drained; }

  bool over() const { return ended || was_reset; }
  // The whole story, the same however the bytes were cut.
  std::string story() const {
    std::string text = log + "body " + body + "\n";
    if (has_trailers) text += "trailers\n" + trailers;
    if (ended) text += "complete\n";
    if (was_reset) text += std::string("reset ") + to_string(reset) + "\n";
    if (!misuse.empty()) text += "MISUSE " + misuse + "\n";
    return text;
  }

  Stream* stream = nullptr;
  int heads = 0;
  int status = 0;
  Version version = Version::http11;
  std::string head;
  std::vector<std::string> interims;
  std::string body;
  std::string trailers;
  bool has_trailers = false;
  bool ended = false;
  bool was_reset = false;
  StreamEnd reset = StreamEnd::complete;
  int drained = 0;
  std::string log;
  std::string misuse;
  std::function<void(Head&, bool)> head_hook;
  std::function<void(std::string_view, bool)> data_hook;
  std::function<void(Fields&)> trailers_hook;
  std::function<void(StreamEnd)> reset_hook;

 private:
  // What a parser vouches for is written by encoders unseen.
  void look_at(const Fields& fields) {
    for (const Field& field : fields) {
      if (field.form == Form::unchecked) continue;
      if (!is_token(field.name) || !is_field_value(field.value)) broken("a field's form");
      for (const char c : field.name) {
        if (field.form == Form::lower && c >= 'A' && c <= 'Z') broken("a name in lower case");
      }
    }
  }
  void broken(const char* what) {
    if (misuse.empty()) misuse = what;
  }
};

// Keeps one RecordingSink for each stream; `stream_hook` may set the sink's hooks.
class RecordingServer final : public ServerEvents {
 public:
  StreamSink& on_stream(Stream& stream) override {
    sinks.push_back(std::make_unique<RecordingSink>());
    sinks.back()->stream = &stream;
    if (stream_hook) stream_hook(*sinks.back());
    return *sinks.back();
  }
  void on_refused(const Refusal& refusal) override {
    refused += std::to_string(refusal.status) + " " + std::string(refusal.head.method_text) + " " +
               std::string(refusal.head.path) + " " + std::to_string(refusal.bytes_out) + "\n";
  }
  void on_idle() override { ++idle; }

  RecordingSink& last() { return *sinks.back(); }
  std::string story() const {
    std::string text;
    for (const auto& sink : sinks) text += sink->story();
    return text;
  }

  std::deque<std::unique_ptr<RecordingSink>> sinks;
  int idle = 0;
  std::string refused;  // "status method path bytes" of each
  std::function<void(RecordingSink&)> stream_hook;
};

class RecordingClient final : public ClientEvents {
 public:
  void on_capacity() override { ++capacity; }
  void on_retiring() override { ++retiring; }

  int capacity = 0;
  int retiring = 0;
};

}  // namespace outrigger::http::fakes
