#include "upstream/client_connection.h"

#include "http/h1_client_codec.h"
#include "http/h2_codec.h"
#include "upstream/pool.h"

namespace outrigger::upstream {

ClientConnection::ClientConnection(Pool& pool, ClientContext& context,
                                   std::unique_ptr<net::Connection> connection, Offer offer,
                                   policy::Permit permit)
    : pool_(pool),
      context_(context),
      connection_(std::move(connection)),
      wire_(*connection_),
      offer_(offer),
      permit_(std::move(permit)) {}

ClientConnection::~ClientConnection() {
  if (state_ != State::closed) connection_->abort();
}

void ClientConnection::start(const Connector& connector) {
  keepalive_times_ = &connector.keepalive;
  connection_->start(*this, true, connector.connect_timeout);
}

void ClientConnection::on_open() {
  http::ClientEvents& events = *this;
  const bool h2 = connection_->secure() ? connection_->transport()->info().alpn == "h2"
                                        : offer_ == Offer::http2;
  if (h2) {
    codec_ = std::make_unique<http::H2ClientCodec>(wire_, events, context_.limits,
                                                   context_.codec_counters, context_.loop.blocks(),
                                                   context_.loop.buffers(), context_.h2_memory);
    keepalive_ =
        std::make_unique<http::H2Keepalive>(http::H2Keepalive::Towards::server, *connection_,
                                            *codec_, *keepalive_times_, context_.codec_counters);
  } else {
    codec_ = std::make_unique<http::H1ClientCodec>(wire_, events, context_.limits,
                                                   context_.codec_counters, context_.loop.blocks());
  }
  wire_.set_codec(codec_.get());
  state_ = State::ready;
  idle_since_ = context_.loop.now();
  pool_.connection_ready(*this);
}

http::Stream& ClientConnection::open_stream(http::StreamSink& sink) {
  ++streams_opened_;
  offered_ = true;
  if (keepalive_) keepalive_->stream_opened();
  return codec_->open(sink);
}

void ClientConnection::drain() {
  if (state_ == State::connecting) {
    connection_->kill(false);
    return;
  }
  on_retiring();
  codec_->drain();
}

std::size_t ClientConnection::on_bytes(std::string_view bytes) {
  if (keepalive_) keepalive_->heard();
  if (!accepted_) {
    accepted_ = true;
    pool_.count_handshake(*this);
  }
  return codec_->feed(
      bytes, static_cast<std::uint64_t>(context_.loop.now().time_since_epoch() / milliseconds(1)));
}

void ClientConnection::on_end_of_input() {
  codec_->input_ended();
}

void ClientConnection::on_drained() {
  codec_->output_drained();
}

void ClientConnection::on_rest() {
  if (codec_) codec_->rest();
}

void ClientConnection::on_closed(net::CloseReason reason) {
  const State before = state_;
  close_reason_ = reason;
  state_ = State::closed;
  keepalive_.reset();
  if (codec_ && before != State::connecting) {
    codec_->connection_lost(reason == net::CloseReason::peer_reset ||
                            reason == net::CloseReason::timed_out ||
                            reason == net::CloseReason::io_error);
  }
  pool_.connection_closed(*this, before);
}

void ClientConnection::on_capacity() {
  if (state_ != State::ready) return;
  if (codec_->open_streams() == 0) idle_since_ = context_.loop.now();
  pool_.connection_has_capacity(*this);
}

void ClientConnection::on_retiring() {
  if (state_ != State::ready) return;
  state_ = State::retiring;
  pool_.connection_retiring(*this);
}

}  // namespace outrigger::upstream
