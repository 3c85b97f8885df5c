#include "upstream/connector.h"

namespace outrigger::upstream {

std::unique_ptr<net::Connection> Connector::connect(net::Loop& loop,
                                                    const net::SocketAddress& address, Offer offer,
                                                    int& error) const {
  net::Fd fd = net::connect_to(address, error);
  if (!fd.valid()) return nullptr;
  auto channel = std::make_unique<net::SocketChannel>(loop, std::move(fd), address);
  return std::make_unique<net::Connection>(loop, std::move(channel),
                                           transport ? transport(offer) : nullptr, limits);
}

}  // namespace outrigger::upstream
