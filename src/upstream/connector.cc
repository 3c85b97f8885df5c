#include "upstream/connector.h"

namespace outrigger::upstream {

namespace {

std::unique_ptr<net::Channel> socket_to(net::Loop& loop, const net::SocketAddress& address,
                                        int& error) {
  net::Fd fd = net::connect_to(address, error);
  if (!fd.valid()) return nullptr;
  return std::make_unique<net::SocketChannel>(loop, std::move(fd), address);
}

}  // namespace

std::unique_ptr<net::Connection> Connector::connect(net::Loop& loop,
                                                    const net::SocketAddress& address, Offer offer,
                                                    int& error) const {
  auto made = channel ? channel(loop, address, error) : socket_to(loop, address, error);
  if (!made) return nullptr;
  return std::make_unique<net::Connection>(loop, std::move(made),
                                           transport ? transport(offer) : nullptr, limits);
}

}  // namespace outrigger::upstream
