/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that KVM makes, as numbers: enough of struct file for the real ioctl,
 * mmap and release functions.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "shim.h"

#define FILES 64
static struct {
  struct file *file;
  int count; /* references */
} table[FILES];
static struct file *installed[FILES];
static unsigned char reserved[FILES];
static struct miscdevice *device;
static struct inode inode;

/* The system has no memory for it: a site that may fail as an allocation does. */
static int no_memory(unsigned long caller) {
  return hosted_host.should_fail(hosted_host.context, HOSTED_SLAB, caller);
}

int misc_register(struct miscdevice *misc) {
  if (no_memory((unsigned long)__builtin_return_address(0))) return -ENOMEM;
  device = misc;
  return 0;
}
int hosted_device_registered(void) { return device != NULL; }
void misc_deregister(struct miscdevice *misc) { device = NULL; }
loff_t noop_llseek(struct file *file, loff_t offset, int whence) { return file->f_pos; }

static struct file *new_file(const struct file_operations *operations, void *private, int flags) {
  int at;
  for (at = 0; at < FILES; ++at) {
    if (table[at].file) continue;
    table[at].file =
        hosted_object(sizeof(struct file), 1, HOSTED_SLAB, (unsigned long)__builtin_return_address(0));
    if (!table[at].file) return ERR_PTR(-ENOMEM);
    table[at].count = 1;
    table[at].file->f_op = operations;
    table[at].file->private_data = private;
    table[at].file->f_mode = OPEN_FMODE(flags);
    table[at].file->f_flags = flags;
    return table[at].file;
  }
  return ERR_PTR(-ENFILE);
}
struct file *anon_inode_getfile_fmode(const char *name, const struct file_operations *operations,
                                      void *private, int flags, fmode_t mode);
struct file *anon_inode_getfile(const char *name, const struct file_operations *operations,
                                void *private, int flags) {
  return new_file(operations, private, flags);
}

/* Since 6.11, where KVM wants FMODE_PREAD. */
struct file *anon_inode_getfile_fmode(const char *name, const struct file_operations *operations,
                                      void *private, int flags, fmode_t mode) {
  struct file *file = new_file(operations, private, flags);
  if (!IS_ERR(file)) file->f_mode |= mode;
  return file;
}

static int entry_of(struct file *file) {
  int at;
  for (at = 0; at < FILES; ++at)
    if (file && table[at].file == file) return at;
  hosted_fail(HOSTED_MEMORY, "use of file %px, which is gone", file);
}

void fput(struct file *file) {
  int at = entry_of(file);
  if (--table[at].count) return;
  if (file->f_op->release) file->f_op->release(&inode, file);
  table[at].file = NULL;
  hosted_release(file);
}

/* The table of files may have to grow. */
int get_unused_fd_flags(unsigned flags) {
  int fd;
  if (no_memory((unsigned long)__builtin_return_address(0))) return -ENOMEM;
  for (fd = 3; fd < FILES; ++fd) {
    if (installed[fd] || reserved[fd]) continue;
    reserved[fd] = 1;
    return fd;
  }
  return -EMFILE;
}
void put_unused_fd(unsigned int fd) { reserved[fd] = 0; }
void fd_install(unsigned int fd, struct file *file) {
  reserved[fd] = 0;
  installed[fd] = file;
}
int anon_inode_getfd(const char *name, const struct file_operations *operations, void *private,
                     int flags) {
  struct file *file;
  int fd = get_unused_fd_flags(flags);
  if (fd < 0) return fd;
  file = anon_inode_getfile(name, operations, private, flags);
  if (IS_ERR(file)) {
    put_unused_fd(fd);
    return PTR_ERR(file);
  }
  fd_install(fd, file);
  return fd;
}
struct file *fget(unsigned int fd) {
  if (fd >= FILES || !installed[fd]) return NULL;
  ++table[entry_of(installed[fd])].count;
  return installed[fd];
}

int hosted_file_open(void) {
  struct file *file;
  int fd;
  if (!device) return -ENODEV;
  fd = get_unused_fd_flags(0);
  if (fd < 0) return fd;
  file = new_file(device->fops, NULL, O_RDWR);
  if (IS_ERR(file)) {
    put_unused_fd(fd);
    return PTR_ERR(file);
  }
  fd_install(fd, file);
  return fd;
}
static struct file *file_of(int fd) {
  return fd >= 0 && fd < FILES ? installed[fd] : NULL;
}
void *hosted_file_private(int fd) {
  struct file *file = file_of(fd);
  return file ? file->private_data : NULL;
}
long hosted_file_ioctl(int fd, unsigned command, unsigned long argument) {
  struct file *file = file_of(fd);
  long result;
  if (!file) return -EBADF;
  hosted_system_call();
  result = file->f_op->unlocked_ioctl(file, command, argument);
  hosted_delayed_work();
  return result;
}
long hosted_file_read(int fd, void *buffer, unsigned long bytes, unsigned long offset) {
  struct file *file = file_of(fd);
  loff_t position = offset;
  if (!file) return -EBADF;
  if (!file->f_op->read) return -EINVAL;
  return file->f_op->read(file, buffer, bytes, &position);
}
int hosted_file_close(int fd) {
  struct file *file = file_of(fd);
  if (!file) return -EBADF;
  installed[fd] = NULL;
  fput(file);
  return 0;
}

/* Memory of the process has no page descriptors: vmalloc_to_page() lends one, for
 * as long as it takes to map the page. */
static struct page lent_page;
static void *lent_address;
struct page *vmalloc_to_page(const void *address) {
  memset(&lent_page, 0, sizeof(lent_page));
  set_page_count(&lent_page, 1);
  lent_address = (void *)((unsigned long)address & PAGE_MASK);
  return &lent_page;
}

void *hosted_file_map(int fd, unsigned long page_offset) {
  struct file *file = file_of(fd);
  struct vm_area_struct area = {.vm_pgoff = page_offset,
                                .vm_start = PAGE_SIZE,
                                .vm_end = 2 * PAGE_SIZE};
  struct vm_fault fault = {.vma = &area, .pgoff = page_offset};
  struct page *page;
  if (!file || !file->f_op->mmap) return NULL;
  area.vm_file = file;
  *(unsigned long *)&area.vm_flags = VM_SHARED | VM_READ | VM_WRITE;
  if (file->f_op->mmap(file, &area)) return NULL;
  if (area.vm_ops->fault(&fault)) return NULL;
  page = fault.page;
  if (page == &lent_page) return lent_address;
  put_page(page);
  return page_address(page);
}
