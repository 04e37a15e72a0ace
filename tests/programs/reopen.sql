pragma integrity_check;
select count(*) from stars;
update stars set ly = ly * 2 where name like 'HD 1%';
select changes();
delete from stars where ly > 100;
vacuum;
select count(*), round(avg(ly), 3) from stars;
select name from sqlite_master order by name;
