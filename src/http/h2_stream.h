#pragma once

// One HTTP/2 stream: what its session keeps about it, and the Stream that its user holds. Made in
// H2Memory and freed by the session when both the user and nghttp2 are done with it; one thread.
// The session does all the work; this holds the state.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/arena.h"
#include "base/intrusive_list.h"
#include "base/state_table.h"
#include "http/stream.h"
#include "net/buffer.h"

namespace outrigger::http {

class H2Session;

// Who still holds the stream: the user (a sink and a pointer), the library (its own stream).
enum class H2Holders : std::uint8_t { both, library, user, nobody };
enum class H2HoldersEvent : std::uint8_t { user_done, library_done };
inline constexpr StateTable<H2Holders, H2HoldersEvent, 4> h2_holders_table{
    {{{H2Holders::both, H2HoldersEvent::user_done, H2Holders::library},
      {H2Holders::both, H2HoldersEvent::library_done, H2Holders::user},
      {H2Holders::library, H2HoldersEvent::library_done, H2Holders::nobody},
      {H2Holders::user, H2HoldersEvent::user_done, H2Holders::nobody}}}};

enum class H2Receive : std::uint8_t { head, body, ended };
enum class H2ReceiveEvent : std::uint8_t { head, head_and_end, end };
inline constexpr StateTable<H2Receive, H2ReceiveEvent, 3> h2_receive_table{
    {{{H2Receive::head, H2ReceiveEvent::head, H2Receive::body},
      {H2Receive::head, H2ReceiveEvent::head_and_end, H2Receive::ended},
      {H2Receive::body, H2ReceiveEvent::end, H2Receive::ended}}}};

// `trailers`: they wait until the body has been sent; `ended`: the user has sent everything, but
// some may still be queued.
enum class H2Send : std::uint8_t { head, body, trailers, ended };
enum class H2SendEvent : std::uint8_t { head, head_and_end, end, trailers };
inline constexpr StateTable<H2Send, H2SendEvent, 4> h2_send_table{
    {{{H2Send::head, H2SendEvent::head, H2Send::body},
      {H2Send::head, H2SendEvent::head_and_end, H2Send::ended},
      {H2Send::body, H2SendEvent::end, H2Send::ended},
      {H2Send::body, H2SendEvent::trailers, H2Send::trailers}}}};

struct H2ClosedTag {};
struct H2DrainedTag {};
struct H2EarlyTag {};

// A head that could not be sent at once; in the stream's arena.
struct H2SavedHead {
  explicit H2SavedHead(Arena& arena) : head(arena) {}
  Head head;
  H2SavedHead* next = nullptr;
};

class H2Stream final : public Stream,
                       public ListLink<H2Stream>,
                       public ListLink<H2ClosedTag>,
                       public ListLink<H2DrainedTag>,
                       public ListLink<H2EarlyTag> {
 public:
  H2Stream(H2Session& s, std::int32_t stream_id, StreamSink* user, BlockPool& blocks,
           net::BufferPool& buffers)
      : session(s), id(stream_id), sink(user), arena(blocks), queue(buffers), trailers(arena) {}
  ~H2Stream() = default;

  void send_interim(const Head& head) override;
  void send_head(const Head& head, bool end) override;
  void send_data(std::string_view bytes, bool end) override;
  void send_trailers(const Fields& fields) override;
  void reset(StreamEnd reason) override;
  void pause(bool paused) override;
  bool above_high() const override;
  std::size_t piece_max() const override;

  // The head to send next; null when it is trailers.
  const Head* next_head();
  void save_head();

  bool held_by_user() const { return holders.is(H2Holders::both) || holders.is(H2Holders::user); }
  bool held_by_library() const {
    return holders.is(H2Holders::both) || holders.is(H2Holders::library);
  }
  bool sent_all() const { return send.is(H2Send::ended) || send.is(H2Send::trailers); }
  // Queued bytes, including the piece that the user is handing over.
  std::size_t unsent() const { return queue.size() + borrowed.size(); }

  H2Session& session;
  std::int32_t id;  // 0 until a client's head is sent
  Machine<h2_holders_table> holders{H2Holders::both};
  Machine<h2_receive_table> receive{H2Receive::head};
  Machine<h2_send_table> send{H2Send::head};
  bool read_paused = false;
  bool waiting = false;   // nghttp2 has asked for data and got none
  bool was_high = false;  // owes an on_drained()
  bool our_reset = false;
  bool head_framed = false;
  std::uint32_t head_write =
      0;  // Wire::writes() when its head was framed: the peer may have it after the next
  bool no_body = false;  // response to HEAD, 204, 304
  bool head_request = false;
  bool connect = false;  // plain CONNECT
  bool upgrade = false;  // extended CONNECT
  bool tunnel = false;   // either, accepted
  // Client: why the server's SETTINGS keep its head from being sent; `complete` if they do not.
  StreamEnd not_sent = StreamEnd::complete;
  std::size_t list_size = 0;  // of its head, while the server's limit may not be known
  std::uint8_t interims = 0;
  std::uint32_t shut_since = 0;  // when its window was found closed, in ms (low bits); or 0
  std::uint32_t close_code = 0;  // set when the library is done
  StreamSink* sink;              // null when there are to be no more callbacks
  Arena arena;
  Head* head = nullptr;  // server: the request's, in the arena
  std::size_t head_bytes = 0;
  std::string_view protocol;  // client: of an extended CONNECT
  std::optional<std::uint64_t> declared;
  std::uint64_t received = 0;
  std::size_t unconsumed = 0;   // delivered while paused: the window stays closed
  std::size_t frame_bytes = 0;  // of the DATA frame that nghttp2 is making
  net::Buffer queue;
  std::string_view borrowed;
  Fields trailers;  // to send
  // Heads that nghttp2 has been asked to send but has not sent: the current one, and before it
  // copies of those that had to wait.
  const Head* head_at_hand = nullptr;
  H2SavedHead* saved_heads = nullptr;
};

}  // namespace outrigger::http
