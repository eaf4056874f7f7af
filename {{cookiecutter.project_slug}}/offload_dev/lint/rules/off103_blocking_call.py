"""OFF103: a call blocks the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.resolver import REQUEST
from offload_dev.lint.violations import Violation, call_violation, violation

BLOCKING = Patterns(
    "time.sleep",
    "builtins.{open,input}",
    "io.open",
    "select.select",
    "os.{system,popen}",
    "pathlib.Path*.{read_text,read_bytes,write_text,write_bytes,open}",
    "shutil.{copy*,move,rmtree}",
    "subprocess.{run,call,check_call,check_output,getoutput,Popen*}",
    "socket.{create_connection,gethostby*,getaddrinfo,getfqdn}",
    "{requests,requests.Session,requests.session}.{get,post,put,patch,delete,head,options,request}",
    "{httpx,httpx2}.{,Client.}{get,post,put,patch,delete,head,options,request,stream}",
    "urllib.request.*",
    "urllib3.PoolManager*.request",
    "smtplib.SMTP*",
    "ftplib.FTP*",
    "boto3.{client,resource}.*",
    "{psycopg,psycopg2,pymysql}.connect",
    "redis.{Redis,StrictRedis,from_url}.*",
    "pymongo.MongoClient.*",
    "django.core.cache.{cache,caches}.{get,set,add,delete,get_many,set_many,delete_many}",
    "django.core.cache.{cache,caches}.{get_or_set,incr,decr,touch,clear,has_key}",
    "django.core.mail.{send_mail,send_mass_mail,mail_admins,mail_managers,Email*.send}",
    "django.core.management.call_command",
    "django.core.files.storage.default_storage.{save,open,delete,exists,size}",
    "django.http.HttpRequest.session.{get,pop,setdefault,flush,save,cycle_key}",
)

# Questions to the file system take microseconds on a local disk.
OFTEN_SHORT = Patterns(
    "os.{listdir,scandir,remove,unlink,rename,replace,mkdir,makedirs,rmdir,stat,walk}",
    "os.path.{exists,isfile,isdir,getsize,getmtime}",
    "pathlib.Path*.{exists,is_file,is_dir,stat,mkdir,unlink,iterdir,glob,rglob,rename}",
)
LIKELY = "short on a local disk, long on a network file system or in a large directory"


@rule(
    "OFF103",
    message="blocks the event loop",
    instead="the async variant; an `Upstream` for another service; a thread for anything else",
    target=Target.THREAD,
)
def blocking_call(function: Function) -> Iterator[Violation]:
    """Finds calls that wait for a disk, a network or a timer, and reads of `request.session`.

    One thread runs the event loop, so every request of the process waits with the call.
    """
    for found in function.evaluated:
        if found.origin == f"{REQUEST}.session":
            yield violation(found.node)
    for call in function.calls_to(BLOCKING):
        yield call_violation(call.node)
    for call in function.calls_to(OFTEN_SHORT):
        yield call_violation(call.node, likely=LIKELY)
