#pragma once

// A codec's Wire over a connection. Owned beside the connection; same thread.

#include "http/codec.h"
#include "net/connection.h"

namespace outrigger::http {

class ConnectionWire final : public Wire, private net::TurnHook {
 public:
  explicit ConnectionWire(net::Connection& connection) : connection_(connection) {}
  void set_codec(Codec* codec) { codec_ = codec; }

  net::Buffer& output() override { return connection_.output(); }
  void flush() override { connection_.flush(); }
  void flush_soon() override { connection_.flush_soon(); }
  void want_write() override { connection_.loop().at_turn_end(*this); }
  void write_through(std::string_view bytes) override { connection_.write_through(bytes); }
  std::uint32_t writes() const override { return connection_.writes(); }
  std::size_t unsent() const override { return connection_.unsent(); }
  bool above_high() const override { return connection_.above_high(); }
  void pause_reading(bool paused) override { connection_.pause_reading(paused); }
  void redeliver() override { connection_.redeliver(); }
  std::string_view date() override { return connection_.loop().http_date(); }
  void finish() override { finish(net::Linger::yes); }
  void finish_at_once() override { finish(net::Linger::no); }
  void end_output() override { connection_.end_output(); }
  void abort(bool reset) override { connection_.kill(reset); }

 private:
  void finish(net::Linger linger) {
    if (codec_ != nullptr) codec_->produce();
    connection_.finish(linger);
  }
  void on_turn_end() override {
    if (!connection_.open() || codec_ == nullptr) return;
    codec_->produce();
    connection_.flush();
  }

  net::Connection& connection_;
  Codec* codec_ = nullptr;
};

}  // namespace outrigger::http
