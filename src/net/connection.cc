#include "net/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace outrigger::net {
namespace {

// A connection with a lot to read yields to others after this many reads.
constexpr int reads_a_turn = 4;
constexpr Duration look_again_after = milliseconds(200);
// A transport holds no more plain text than this: two records.
constexpr std::size_t transport_holds = std::size_t{32} * 1024;
// Fewer bytes at a time are cheaper to copy than to move.
constexpr std::size_t bulk_from = std::size_t{16} * 1024;
// How often a blocked connection checks whether its peer is still there.
constexpr Duration blocked_look = seconds(5);

CloseReason reason_of(int error) {
  if (error == ETIMEDOUT) return CloseReason::timed_out;
  return error == ECONNRESET || error == EPIPE ? CloseReason::peer_reset : CloseReason::io_error;
}

// No such call here: an old kernel, a sandbox, a socket of another kind. All other errors are the
// socket's own, and a read that follows would not find them again.
bool is_refusal(int error) {
  return error == ENOSYS || error == EPERM || error == EACCES || error == EINVAL ||
         error == EOPNOTSUPP;
}

}  // namespace

const char* to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::finished:
      return "finished";
    case CloseReason::peer_closed:
      return "peer_closed";
    case CloseReason::peer_reset:
      return "peer_reset";
    case CloseReason::connect_failed:
      return "connect_failed";
    case CloseReason::connect_timeout:
      return "connect_timeout";
    case CloseReason::handshake_failed:
      return "handshake_failed";
    case CloseReason::handshake_timeout:
      return "handshake_timeout";
    case CloseReason::tls_failed:
      return "tls_failed";
    case CloseReason::io_error:
      return "io_error";
    case CloseReason::aborted:
      return "aborted";
    case CloseReason::timed_out:
      return "timed_out";
    case CloseReason::write_stalled:
      return "write_stalled";
  }
  return "unknown";
}

Connection::Connection(Loop& loop, std::unique_ptr<Channel> channel,
                       std::unique_ptr<Transport> transport, const ConnectionLimits& limits)
    : loop_(loop),
      channel_(std::move(channel)),
      cipher_(transport ? std::make_unique<Cipher>(std::move(transport), loop.buffers()) : nullptr),
      limits_(limits),
      timer_(Timer::to<&Connection::on_timer>(*this)),
      input_(loop.buffers()),
      output_(loop.buffers()) {}

Connection::~Connection() {
  if (!closed()) end_life(Event::end, false);
}

void Connection::start(ConnectionHandler& handler, bool connecting, Duration connect_timeout) {
  check(phase_.is(Phase::idle), "a connection is started once");
  handler_ = &handler;
  if (connecting) {
    phase_.on(Event::connect);
    loop_.timers().arm(timer_, connect_timeout);
    channel_->open(*this);
    if (limits_.peer_silence > Duration(0)) channel_->bound_silence(limits_.peer_silence);
    return;
  }
  channel_->open(*this);
  begin_transport();
}

void Connection::connect_finished() {
  const int status = channel_->connect_status();
  if (status == EINPROGRESS) return;
  if (status != 0) return close_with(CloseReason::connect_failed, status);
  timer_.cancel();
  begin_transport();
}

void Connection::begin_transport() {
  if (!cipher_) return opened();
  phase_.on(Event::shake);
  loop_.timers().arm(timer_, std::max(limits_.handshake, limits_.silence));
  std::string_view nothing;
  continue_handshake(nothing);
}

void Connection::continue_handshake(std::string_view& in) {
  tls().handshake(in, cipher_->out);
  const bool answered = !cipher_->out.empty();
  if (answered) send(cipher_->out, {});
  if (!phase_.is(Phase::handshaking)) return;
  if (tls().state() == Transport::State::failed) return transport_failed();
  if (tls().state() == Transport::State::established) {
    timer_.cancel();
    // Without a session ticket nothing follows the client's last flight, and a client whose TCP
    // waits for its acknowledgement (RFC 896) would send its first request 40 ms later.
    if (!answered && in.empty()) channel_->acknowledge();
    opened();
  }
}

void Connection::opened() {
  phase_.on(Event::opened);
  was_open_ = true;
  if (cipher_) loop_.timers().arm(timer_, look_again_after);
  handler_->on_open();
}

// What the transport still has to send (an alert with the reason) is sent before the close.
void Connection::transport_failed() {
  if (!cipher_->out.empty()) send(cipher_->out, {});
  close_with(phase_.is(Phase::handshaking) ? CloseReason::handshake_failed
                                           : CloseReason::tls_failed);
}

inline bool Connection::reads_wanted() const {
  if (!readable_) return false;
  if (phase_.is(Phase::open))
    return !paused_ && !redeliver_ && (input_.empty() || input_.size() < limits_.input_max);
  return phase_.is(Phase::handshaking) || discards();
}

void Connection::on_channel_ready(bool readable, bool writable, bool closed) {
  if (this->closed()) return;
  if (closed) peer_closed_ = true;
  if (readable || closed) readable_ = true;
  if (phase_.is(Phase::connecting)) connect_finished();
  if (writable && write_blocked_) {
    write_blocked_ = false;
    if (silence_allowed_) bound_silence(true);
    write_out({});
    if (write_error_ != 0) return write_failed();
    if (was_high_ && buffered() <= limits_.output_low && !pipe_ && phase_.is(Phase::open)) {
      was_high_ = false;
      handler_->on_drained();
    }
  }
  read_on();
  if (readable_ && phase_.is(Phase::open)) hear_of_end();
}

// Nothing is read, so no read reports FIN or a reset. The poller reports a reset like any
// other change.
void Connection::hear_of_end() {
  if (reads_wanted() || redeliver_) return;
  if (channel_->was_reset()) {
    if (handler_->ends_on_unread_reset()) close_with(CloseReason::peer_reset, ECONNRESET);
    return;
  }
  if (!peer_closed_) return;
  const std::size_t sealed = cipher_ ? cipher_->in.size() + transport_holds : 0;
  handler_->on_end_ahead(channel_->unread() + input_.size() + sealed);
}

void Connection::read_on() {
  for (int i = 0; reads_wanted(); ++i) {
    if (i == reads_a_turn) return loop_.in_next_turn(*this);
    std::span<char> scratch = loop_.scratch();
    if (phase_.is(Phase::open)) {
      scratch = scratch.first(std::min(scratch.size(), handler_->read_max()));
      if (scratch.empty()) return;
    }
    IoResult result{};
    const bool moved =
        bulk_ && input_.empty() && phase_.is(Phase::open) && handler_->on_bulk(*channel_, result);
    if (!moved) result = channel_->read(scratch);
    switch (result.kind) {
      case IoResult::Kind::done: {
        bytes_read_ += result.bytes;
        if (moved) {
          if (i == 0) bulk_ = result.bytes >= bulk_from;  // the last piece is always small
          if (!timer_.armed()) loop_.timers().arm(timer_, look_again_after);
          break;
        }
        // A short read has emptied the socket; after FIN one more read returns the end.
        if (result.bytes < scratch.size() && !peer_closed_) {
          readable_ = false;
          if (!timer_.armed()) loop_.timers().arm(timer_, look_again_after);
        }
        if (result.bytes >= bulk_from) bulk_ = true;
        const std::string_view bytes(scratch.data(), result.bytes);
        if (discards()) continue;
        cipher_ ? take_sealed(bytes) : take_plain(bytes);
        break;
      }
      case IoResult::Kind::blocked:
        readable_ = false;
        return;
      case IoResult::Kind::ended:
        readable_ = false;
        return end_of_input(!cipher_);
      case IoResult::Kind::failed:
        readable_ = false;
        if (phase_.is(Phase::lingering)) return close_with(CloseReason::finished);
        return close_with(
            phase_.is(Phase::handshaking) ? CloseReason::handshake_failed : reason_of(result.error),
            result.error);
    }
  }
}

// The poller does not distinguish a reset that arrived in the same wake-up as the last bytes, and
// there is no further edge. Reading to the end each time would cost a call per request; checking
// again a little later costs nothing. A connection on which nothing has moved since the last check
// is idle, perhaps for an hour: its buffers, tens of KiB with TLS, are released.
void Connection::look_again() {
  readable_ = true;
  read_on();
  if (!phase_.is(Phase::open)) return;
  if (write_blocked_) handler_->on_output_waits();
  if (!phase_.is(Phase::open)) return;
  const auto moved = static_cast<std::uint32_t>(bytes_read_ + bytes_written_);
  if (moved != std::exchange(seen_moved_, moved)) {
    if (!timer_.armed()) loop_.timers().arm(timer_, look_again_after);
    return;
  }
  if (write_blocked_ && !watch_blocked()) return;
  if (cipher_) tls().go_idle();
  handler_->on_rest();
  loop_.note_rested();
}

// A peer whose window stays shut is slow, one that acknowledges nothing is gone. The kernel's bound
// ends both, so it is lifted here, and peers that are gone are looked for instead.
bool Connection::watch_blocked() {
  if (limits_.peer_silence == Duration(0)) return true;
  if (!silence_allowed_) {
    bound_silence(false);
  } else if (channel_->silent_for(limits_.peer_silence)) {
    close_with(CloseReason::timed_out, ETIMEDOUT);
    return false;
  }
  loop_.timers().arm(timer_, blocked_look);
  return true;
}

void Connection::bound_silence(bool bounded) {
  silence_allowed_ = !bounded;
  channel_->bound_silence(bounded ? limits_.peer_silence : Duration(0));
}

void Connection::take_plain(std::string_view bytes) {
  deliver(bytes);
}

void Connection::take_sealed(std::string_view bytes) {
  if (cipher_->in.empty()) return open_sealed(bytes);
  // Held back earlier: new bytes queue behind. Opening moves them to `input_` or the handler.
  cipher_->in.append(bytes);
  Buffer held(loop_.buffers());
  held.take_over(cipher_->in);
  open_sealed(held.view());
}

void Connection::open_sealed(std::string_view in) {
  if (phase_.is(Phase::handshaking)) {
    // The first bytes: from here on the handshake's own deadline runs.
    if (limits_.silence > Duration(0) && bytes_read_ == in.size())
      loop_.timers().arm(timer_, limits_.handshake);
    continue_handshake(in);
    if (!phase_.is(Phase::open)) return;
  }
  while (phase_.is(Phase::open)) {
    if (paused_ || redeliver_) {
      cipher_->in.append(in);
      return;
    }
    const std::span<char> plain = loop_.plain_scratch();
    const std::size_t n = tls().open(in, plain, cipher_->out);
    if (!cipher_->out.empty()) flush_soon();
    if (n > 0) deliver({plain.data(), n});
    if (!phase_.is(Phase::open)) return;
    if (tls().state() == Transport::State::failed) return transport_failed();
    if (tls().state() == Transport::State::ended) return end_of_input(true);
    if (n < plain.size()) return;
  }
}

void Connection::deliver(std::string_view fresh) {
  if (input_.empty()) {
    const std::size_t consumed = fresh.empty() ? 0 : handler_->on_bytes(fresh);
    if (phase_.is(Phase::open) && consumed < fresh.size()) input_.append(fresh.substr(consumed));
    return;
  }
  input_.append(fresh);
  const std::size_t consumed = handler_->on_bytes(input_.view());
  if (phase_.is(Phase::open)) input_.consume(consumed);
}

void Connection::end_of_input(bool clean) {
  if (phase_.is(Phase::lingering)) return close_with(CloseReason::finished);
  if (discards()) return;
  if (!clean) {
    tls().channel_ended();
    clean = tls().state() == Transport::State::ended;
  }
  if (phase_.is(Phase::handshaking)) return close_with(CloseReason::handshake_failed);
  if (input_ended_) return;
  input_ended_ = true;
  // TLS that ends without close_notify may have been truncated by anybody.
  if (!clean) return close_with(CloseReason::peer_reset);
  if (fin_sent_) {
    handler_->on_end_of_input();
    if (phase_.is(Phase::open)) close_with(CloseReason::peer_closed);
    return;
  }
  handler_->on_end_of_input();
}

void Connection::write_through(std::string_view bytes) {
  if (!phase_.is(Phase::open) && !phase_.is(Phase::finishing)) return;
  write_out(bytes);
  if (write_error_ != 0 || was_high_) loop_.at_turn_end(*this);
}

void Connection::flush() {
  if (!phase_.is(Phase::open) && !phase_.is(Phase::finishing)) return;
  write_out({});
  if (write_error_ != 0 || was_high_) loop_.at_turn_end(*this);
}

void Connection::write_out(std::string_view extra) {
  ++writes_;
  if (buffered() + extra.size() > limits_.output_high) was_high_ = true;
  if (!cipher_) {
    if (pipe_) send_pipe();
    send(output_, extra);
  } else {
    Buffer& out = cipher_->out;
    const bool sealed = (output_.empty() || tls().seal(output_.view(), out)) &&
                        (extra.empty() || tls().seal(extra, out));
    output_.clear();
    if (!sealed) write_error_ = EPIPE;
    send(out, {});
    // Sealing adds to the output: a handler that sees above_high() must get on_drained().
    if (above_high()) was_high_ = true;
    if (phase_.is(Phase::open) && !timer_.armed()) loop_.timers().arm(timer_, look_again_after);
  }
  if (buffered() == 0 && fin_wanted_ && !fin_sent_ && !pipe_) all_sent();
}

bool Connection::splice_from(Channel& from, IoResult& result) {
  if (!phase_.is(Phase::open) || cipher_ || pipe_ || !output_.empty() || write_blocked_ ||
      write_error_ != 0 || fin_wanted_ || from.fd() < 0 || channel_->fd() < 0)
    return false;
  pipe_ = loop_.pipes().take();
  if (!pipe_) return false;
  result = pipe_->fill_from(from.fd());
  if (result.kind == IoResult::Kind::done) {
    ++writes_;
    send_pipe();
    if (pipe_) was_high_ = true;
    if (write_error_ != 0) loop_.at_turn_end(*this);
    return true;
  }
  loop_.pipes().give(std::move(pipe_));
  if (result.kind != IoResult::Kind::failed || !is_refusal(result.error)) return true;
  loop_.pipes().refuse();
  return false;
}

void Connection::send_pipe() {
  while (pipe_ && !write_blocked_ && write_error_ == 0) {
    const IoResult result = pipe_->drain_to(channel_->fd());
    switch (result.kind) {
      case IoResult::Kind::done:
        bytes_written_ += result.bytes;
        if (pipe_->held() == 0) loop_.pipes().give(std::move(pipe_));
        break;
      case IoResult::Kind::blocked:
        return wait_for_room();
      case IoResult::Kind::ended:
      case IoResult::Kind::failed:
        write_error_ = static_cast<std::int16_t>(result.error != 0 ? result.error : EPIPE);
        return;
    }
  }
}

// The socket is full, and the poller will report when it is not.
void Connection::wait_for_room() {
  write_blocked_ = true;
  if (phase_.is(Phase::open) && !timer_.armed()) loop_.timers().arm(timer_, look_again_after);
}

void Connection::send(Buffer& buffer, std::string_view extra) {
  if (write_blocked_ || write_error_ != 0) {
    buffer.append(extra);
    return;
  }
  const std::string_view first = buffer.view();
  std::array<iovec, 2> parts;
  std::size_t count = 0;
  if (!first.empty()) parts[count++] = {const_cast<char*>(first.data()), first.size()};
  if (!extra.empty()) parts[count++] = {const_cast<char*>(extra.data()), extra.size()};
  if (count == 0) return;
  const IoResult result = channel_->write(std::span(parts.data(), count), fin_wanted_);
  if (result.kind == IoResult::Kind::failed) {
    write_error_ = static_cast<std::int16_t>(result.error);
    return;
  }
  if (result.kind == IoResult::Kind::done) {
    bytes_written_ += result.bytes;
    if (result.bytes == first.size() + extra.size()) return buffer.clear();
    const std::size_t from_buffer = std::min(result.bytes, first.size());
    buffer.consume(from_buffer);
    extra.remove_prefix(result.bytes - from_buffer);
  }
  buffer.append(extra);
  wait_for_room();
}

void Connection::all_sent() {
  if (cipher_ && tls().state() != Transport::State::failed) {
    tls().close_notify(cipher_->out);
    send(cipher_->out, {});
    if (unsent() > 0) return;  // comes back with the next write
  }
  fin_sent_ = true;
  lingers_ ? channel_->shutdown_write() : channel_->close(false);
  if (phase_.is(Phase::finishing)) {
    phase_.on(Event::sent);
    if (input_ended_ || !lingers_) return loop_.at_turn_end(*this);
    loop_.timers().arm(timer_, limits_.linger);
  } else if (input_ended_) {
    loop_.at_turn_end(*this);
  }
}

void Connection::on_turn_end() {
  if (phase_.is(Phase::killed)) return close_with(killed_for_);
  if (phase_.is(Phase::closed)) return;
  if (buffered() > 0) write_out({});
  if (write_error_ != 0 && !phase_.is(Phase::connecting)) return write_failed();
  if (fin_sent_ && (input_ended_ || !lingers_))
    return close_with(phase_.is(Phase::open) ? CloseReason::peer_closed : CloseReason::finished);
  if (phase_.is(Phase::open) && was_high_ && buffered() <= limits_.output_low && !pipe_) {
    was_high_ = false;
    handler_->on_drained();
  }
  // Nothing else is read here: reading makes more to send, and the turn would not end.
  if (discards()) read_on();
}

// Work that was postponed so that others had their turn.
void Connection::on_next_turn() {
  if (phase_.is(Phase::open) && redeliver_) {
    redeliver_ = false;
    if (!paused_ && !input_.empty()) deliver({});
    // Also without new ciphertext: the transport may hold decrypted bytes.
    if (phase_.is(Phase::open) && !paused_ && !redeliver_ && cipher_) take_sealed({});
    if (phase_.is(Phase::open) && !paused_ && !redeliver_ && tell_end_) {
      tell_end_ = false;
      handler_->on_end_of_input();
    }
  }
  if (write_error_ != 0 && phase_.is(Phase::open)) return write_failed();
  read_on();
  if (readable_ && phase_.is(Phase::open)) hear_of_end();
}

// The peer is gone, but its last bytes may have arrived: an answer, or a GOAWAY that says which
// streams it never began. They are read before the end is reported.
void Connection::write_failed() {
  if (phase_.is(Phase::open) && !paused_) {
    if (redeliver_) return;  // the next turn comes here again
    readable_ = true;
    read_on();
    if (reads_wanted() || redeliver_) return;  // there is more
    if (closed()) return;
  }
  close_with(reason_of(write_error_), write_error_);
}

void Connection::pause_reading(bool paused) {
  if (paused_ == paused || closed()) return;
  paused_ = paused;
  if (!paused) redeliver();
}

void Connection::redeliver() {
  if (closed()) return;
  redeliver_ = true;
  loop_.in_next_turn(*this);
}

void Connection::set_handler(ConnectionHandler& handler) {
  handler_ = &handler;
  tell_end_ = input_ended_;
  redeliver();
}

void Connection::finish(Linger linger) {
  if (!phase_.is(Phase::open)) {
    if (!discards()) abort();
    return;
  }
  phase_.on(Event::finish);
  fin_wanted_ = true;
  lingers_ = linger == Linger::yes || readable_ || !input_.empty();
  readable_ = lingers_;
  seen_moved_ = static_cast<std::uint32_t>(bytes_written_);
  if (limits_.write_stall > Duration(0)) {
    loop_.timers().arm(timer_, limits_.write_stall);
  } else {
    timer_.cancel();
  }
  write_out({});
  // Errors and what can be read already are looked at when the caller is done.
  loop_.at_turn_end(*this);
}

void Connection::end_output() {
  if (!phase_.is(Phase::open) || fin_wanted_) return;
  fin_wanted_ = true;
  write_out({});
  if (write_error_ != 0) loop_.at_turn_end(*this);
}

void Connection::abort(bool reset) {
  if (!phase_.is(Phase::closed)) end_life(Event::end, reset);
}

void Connection::kill(bool reset, CloseReason reason) {
  if (closed()) return;
  killed_for_ = reason;
  end_life(Event::kill, reset);
  loop_.at_turn_end(*this);
}

void Connection::on_timer() {
  switch (phase_.state()) {
    case Phase::connecting:
      return close_with(CloseReason::connect_timeout, ETIMEDOUT);
    case Phase::handshaking:
      // A peer that has sent nothing, and need not have, has not failed.
      return close_with(bytes_read_ == 0 && limits_.silence > Duration(0)
                            ? CloseReason::finished
                            : CloseReason::handshake_timeout);
    case Phase::open:
      return look_again();
    case Phase::finishing: {
      const auto written = static_cast<std::uint32_t>(bytes_written_);
      if (written == std::exchange(seen_moved_, written))
        return close_with(CloseReason::write_stalled);
      return loop_.timers().arm(timer_, limits_.write_stall);
    }
    case Phase::lingering:
      return close_with(CloseReason::finished);
    default:
      return;
  }
}

void Connection::close_with(CloseReason reason, int error) {
  if (phase_.is(Phase::closed)) return;
  error_ = static_cast<std::int16_t>(error);
  end_life(Event::end, false);
  handler_->on_closed(reason);
}

void Connection::end_life(Event event, bool reset) {
  phase_.on(event);
  channel_->close(reset);
  timer_.cancel();
  unlink();
  // The input stays until the destructor: the handler may be looking at it.
  output_.clear();
  if (pipe_) loop_.pipes().give(std::move(pipe_));
  if (cipher_) cipher_->out.clear();
}

}  // namespace outrigger::net
