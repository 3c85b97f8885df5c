#pragma once

// The registry that is a file: services and their endpoints in YAML (or JSON, which is YAML too),
// written as in the configuration.
//
//   services:
//     orders:
//       - {address: "10.0.0.7:15006", zone: eu-west-1a, weight: 2, labels: {version: v42}}
//       - 10.0.0.8:15006
//
// The file is watched. An edit in place is read when its writer has closed the file, or after 5 s,
// an atomic rename at once. Who writes in place more slowly than that, or begins just when the file
// is read, may have half a list published if it reads like a whole one. A file that is broken,
// empty or gone is reported with its location, and the last good lists stay in force. A service that a
// good file does not name has no endpoints; `services: {}` says so of all.
//
// Main thread. Reading and parsing may take long (some 20 µs an endpoint), so it is given to
// `background`, which must run it sooner or later on whatever thread, one task at a time in order;
// the result is posted to the loop, which outlives those tasks. A task gives up, and posts nothing,
// soon after the flag that it was given has become true.

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/weak_ref.h"
#include "discovery/watch.h"
#include "net/file_watch.h"
#include "outrigger/registry.h"

namespace outrigger::discovery {

class FileRegistry final : public Registry, private net::FileWatchHandler {
 public:
  using Task = std::function<void(const std::atomic<bool>& abandoned)>;
  using Background = std::function<void(Task)>;

  FileRegistry(net::Loop& loop, std::string path, Background background);

  void start(RegistryEvents& events) override;
  std::unique_ptr<Subscription> subscribe(std::string_view service,
                                          EndpointObserver& observer) override;
  RegistryStatus status() const override;

  // Reads the file again, whether it seems to have changed or not.
  void reload();

 private:
  // What reading the file came to: its services, or what is wrong with it.
  struct Reading {
    std::map<std::string, EndpointList, std::less<>> services;
    std::string error;
  };
  static Reading read(const std::string& path, const std::atomic<bool>& abandoned);

  void on_files_changed() override { reload(); }
  void take(Reading reading);

  net::Loop& loop_;
  const std::string path_;
  const Background background_;
  RegistryEvents* events_ = nullptr;
  Watches watches_;
  std::unique_ptr<net::FileWatch> file_watch_;
  RegistryStatus status_;
  bool reading_ = false;
  bool again_ = false;  // it has changed while it was read
  WeakAnchor<FileRegistry> anchor_{*this};
};

}  // namespace outrigger::discovery
