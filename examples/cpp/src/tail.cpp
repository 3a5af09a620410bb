#include "tail.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

using namespace runicornapi::v1;
using std::chrono::duration;
using std::chrono::seconds;

namespace {

constexpr seconds heartbeat{5};

// Returns whether the call can be resumed: the server is unavailable, or the connection
// failed, which proxies report as an error without a reason. Any other error is final.
bool resumable(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::UNAVAILABLE:
      return true;
    case grpc::INTERNAL:
    case grpc::UNKNOWN:
    case grpc::CANCELLED: {
      const auto info = detail<google::rpc::ErrorInfo>(status);
      return !info || info->domain() != "runicorn-grpc";
    }
    default:
      return false;
  }
}

// Creates a channel that does not share its connection: by default a new channel would
// use the connection that hangs.
std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// A call with a timeout for each step, which the blocking API does not have.
class Call {
 public:
  Call(const std::string& address, const TailMetricsRequest& request)
      : service_(connect(address)), reader_(service_.AsyncTailMetrics(&context_, request, &queue_, this)) {}

  ~Call() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag;
    for (bool ok; queue_.Next(&tag, &ok);) {
    }
  }

  // Waits for the start of the response, or for the next message; false is the end.
  bool begins() { return step(); }
  bool next(TailMetricsResponse* message) {
    reader_->Read(message, this);
    return step();
  }

  grpc::Status end() {
    if (silent_) {  // the computer slept, or the server hangs but keeps the connection
      return {grpc::UNAVAILABLE, "no message for two heartbeats"};
    }
    reader_->Finish(&status_, this);
    step();
    return silent_ ? end() : status_;
  }

 private:
  bool step() {
    void* tag;
    bool ok = false;
    silent_ = queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + 2 * heartbeat) == grpc::CompletionQueue::TIMEOUT;
    return ok && !silent_;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  MetricService::Stub service_;
  std::unique_ptr<grpc::ClientAsyncReader<TailMetricsResponse>> reader_;
  grpc::Status status_;
  bool silent_ = false;
};

}  // namespace

Tail::Tail(std::string address, const std::string& run, int cut_after, Lines& out)
    : address_(std::move(address)), cut_after_(cut_after), out_(out) {
  request_.add_run_ids(run);  // is sent together with the token: proxies route by it
  request_.mutable_heartbeat_interval()->set_seconds(heartbeat.count());
}

void Tail::run() {
  for (;;) {
    const grpc::Status status = connection();
    if (status.ok()) return;
    if (!resumable(status)) check(status);
    failures_++;
    std::this_thread::sleep_for(delay(status));
  }
}

// Prints the points of one connection. Returns OK only after the `end` of the run, or
// when the limit of points is reached.
grpc::Status Tail::connection() {
  TailMetricsResponse message;  // must outlive the call, which writes to it
  Call call(address_, request_);
  if (!call.begins()) return call.end();
  while (call.next(&message)) {
    if (!message.has_heartbeat()) failures_ = 0;  // a heartbeat is no progress: each connection begins with one
    if (!print(message)) return grpc::Status::OK;
    request_.set_resume_token(message.resume_token());
    if (++messages_ == cut_after_) return {grpc::UNAVAILABLE, "the connection was dropped"};
  }
  return call.end();
}

bool Tail::print(const TailMetricsResponse& message) {
  if (message.has_log_reset()) {
    // Discard the points printed of this run; they are sent again.
    out_.print("{\"log_reset\":" + quoted(LogResetReason_Name(message.log_reset().reason())) + "}");
  }
  return out_.print(message.batch());
}

// The delay grows from 0.2 s to 10 s, is jittered, and is never shorter than the server's
// RetryInfo.
duration<double> Tail::delay(const grpc::Status& status) {
  const double grown = std::min(0.2 * std::pow(2, std::min(failures_ - 1, 6)), 10.0);
  double minimum = 0;
  if (const auto info = detail<google::rpc::RetryInfo>(status)) {
    minimum = info->retry_delay().seconds() + info->retry_delay().nanos() / 1e9;
  }
  return duration<double>(std::max(grown * std::uniform_real_distribution<>(0.5, 1)(random_), minimum));
}
